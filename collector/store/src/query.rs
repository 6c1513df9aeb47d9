//! The query language, the same in API, pages and command line:
//! `image:api* signal:SIGSEGV -host:build7 label:team=core since:24h "out of range"`.
//!
//! [`language`] reads it, [`sql`] turns it into conditions with bound parameters.

mod language;
mod nearest;
mod pattern;
pub(crate) mod sql;
mod time;

pub use language::{Query, QueryError};
