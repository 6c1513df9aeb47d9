//! What happens at the moment of death, and the words both sides share.
//!
//! The kernel runs `aground-collect` (this crate's binary) when a process dies of a
//! core-dumping signal. Everything it learns goes into a spool entry: a directory with
//! [`record::Record`] as `record.json`, the core, and the mapped files not yet in the module
//! store. The daemon takes entries from there; the two never talk otherwise.

pub mod id;
pub mod layout;
pub mod record;
pub mod text;
