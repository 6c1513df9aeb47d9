//! What is kept: the database, the files, queries over them. No SQL lives elsewhere.

pub mod query;
pub mod store;
pub mod types;

pub use query::{Query, QueryError};
pub use store::{ResolveError, Store, StoreError};
