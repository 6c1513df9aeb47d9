//! The query language: `image:api* signal:SIGSEGV since:24h text`.
//! CONTRACT SKELETON: bodies to be written.

/// A parsed query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {}

/// Says where a query is wrong and what it could have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// One line for the person who wrote the query.
    pub message: String,
    /// Byte offset in the query text.
    pub offset: usize,
}

impl Query {
    /// Parses the query language. Fields: id, group, container, name (alias of container), image,
    /// image_id, label (`label:k` or `label:k=v`), host, signal, exe, comm, cause, function
    /// (alias frame), status, runtime, unit, pid, since, until; `-field:value` negates; `*` is a wildcard;
    /// different fields AND, same field OR (as Docker's filters); bare words match anywhere in title,
    /// command, container, image.
    pub fn parse(_text: &str) -> Result<Self, QueryError> {
        todo!()
    }

    /// The same from Docker's `--filter key=value` pairs, merged into this query.
    pub fn with_filter(self, _key_and_value: &str) -> Result<Self, QueryError> {
        todo!()
    }
}
