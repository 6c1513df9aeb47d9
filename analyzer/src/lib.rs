//! Bytes in, report out: unwinds, symbolizes, explains and signs a core.
//!
//! Pure: no network, no clock, no environment, no files but those handed in.

pub mod manifest;
pub mod report;
pub mod scene;
