//! The query language, the same in API, pages and command line:
//! `image:api* signal:SIGSEGV -host:build7 label:team=core since:24h "out of range"`.
//!
//! [`fields`] has every field, [`columns`] those that crashes can be counted by. [`lexer`] splits a query into words, [`terms`] says what each
//! means, [`sql`] turns them into conditions with bound parameters, and [`plan`] chooses the one
//! that leads to the rows fastest.

pub(crate) mod columns;
mod fields;
pub(crate) mod language;
mod lexer;
mod nearest;
pub(crate) mod of_groups;
mod pattern;
pub(crate) mod plan;
mod ranges;
pub(crate) mod sql;
mod terms;
mod time;
pub(crate) mod words;

pub use columns::countable;
pub use fields::{FIELDS, FieldInfo, Values, field, names};
pub use language::{Query, QueryError};
