//! Confirms containers on the host's disk.

pub mod docker;
