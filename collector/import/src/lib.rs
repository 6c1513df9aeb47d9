//! Makes a dump of a core that somebody hands in, in a process of its own that the daemon runs:
//! `aground-import`. The bytes are hostile, so whatever unpacks and reads them has two open
//! files, no environment, and limits it sets on itself.
//!
//! Standard input is the core, compressed or not; standard output the empty file for the stored
//! one. What it is comes as one line on standard error: JSON of [`Imported`], or why it is none.

pub mod facts;
pub mod unpack;
pub mod worker;

pub use facts::{Imported, MappedFile};
