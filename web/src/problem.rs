//! The one error type of the HTTP side: RFC 9457 problems.
//!
//! What the client reads and what the log keeps are different fields: a client never sees paths
//! of the server or the text of a failed system call. The one exception is a core that is not
//! served because only root may read it: its path says where root finds it.

use aground_store::{QueryError, ResolveError, StoreError};
use axum::Extension;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

/// Said while nothing can be written. Who reads a crash is written down too.
const NO_ROOM: &str = "the disk of the state directory is full or may only be read: nothing can be \
                       written down, no change and not who reads a crash";

/// Why a request was not answered.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    body: Box<ProblemBody>,
    /// For the operator; never sent.
    log: Option<String>,
    /// After how long to come again.
    again: Option<Duration>,
}

/// What the client reads, as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemBody {
    /// Always `about:blank`: the status says what kind of problem it is (RFC 9457, 4.2.1).
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The status in words.
    #[serde(default)]
    pub title: String,
    /// The status.
    #[serde(default)]
    pub status: u16,
    /// What is wrong, in one sentence.
    #[serde(default)]
    pub detail: String,
    /// A word for programs: `not-found`, `ambiguous`, `bad-query`, `bad-parameter`, …
    #[serde(default)]
    pub code: String,
    /// The ids an ambiguous reference may mean.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<String>,
    /// The place in a query that is wrong, and what it could have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<WrongPlace>,
    /// Where root on the host finds what is not served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// The place in a parameter that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongPlace {
    /// The parameter: `query`, or `filter`.
    pub parameter: String,
    /// Byte offset in its value.
    pub offset: usize,
    /// Bytes from there.
    pub length: usize,
    /// What could have been meant in their place, where something is near.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
}

impl Problem {
    /// A problem with a word for programs and a sentence for people.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        let body = ProblemBody {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            candidates: Vec::new(),
            query: None,
            path: None,
        };
        Self {
            status,
            body: Box::new(body),
            log: None,
            again: None,
        }
    }

    /// Something the client asked for is not there.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// A parameter of the request is wrong.
    pub fn bad_parameter(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-parameter", detail)
    }

    /// A query in a parameter is wrong.
    pub fn bad_query(parameter: &str, error: QueryError) -> Self {
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "bad-query", error.message);
        problem.body.query = Some(WrongPlace {
            parameter: parameter.to_owned(),
            offset: error.offset,
            length: error.length,
            suggestion: error.suggestion,
        });
        problem
    }

    /// The service failed; the client learns no more than that.
    pub fn internal(error: &(dyn Error + 'static)) -> Self {
        Self {
            log: Some(chain(error)),
            ..Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the service failed; its log says why",
            )
        }
    }

    /// The same problem under another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self.body.status = status.as_u16();
        status
            .canonical_reason()
            .unwrap_or("Error")
            .clone_into(&mut self.body.title);
        self
    }

    /// The same, with when to come again.
    #[must_use]
    pub fn come_again(mut self, after: Duration) -> Self {
        self.again = Some(after);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The sentence the client reads.
    pub fn detail(&self) -> &str {
        &self.body.detail
    }
}

/// An error and its causes in one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let Some(log) = &self.log {
            tracing::error!(status = self.status.as_u16(), error = %log, "request failed");
        }
        let text = serde_json::to_string(&self.body).unwrap_or_default();
        let kind = [(header::CONTENT_TYPE, "application/problem+json")];
        // The body as such is for `ui::refused`, which makes pages of problems.
        let again = self.again.map(|after| {
            // Rounded up: a moment too early is another refusal.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            AppendHeaders([(header::RETRY_AFTER, seconds.max(1).to_string())])
        });
        (self.status, Extension(*self.body), kind, again, text).into_response()
    }
}

impl From<StoreError> for Problem {
    // Whatever else the store reports is the operator's business, not the client's.
    #[allow(clippy::match_wildcard_for_single_variants)]
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound(what) => Self::not_found(format!("no such {what}")),
            StoreError::RootOnly { ref path, .. } => {
                let mut problem = Self::new(
                    StatusCode::FORBIDDEN,
                    "root-only",
                    format!("{error}; on the host root finds it at {}", path.display()),
                );
                problem.body.path = Some(path.clone());
                problem
            }
            StoreError::Refused(why) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", why),
            StoreError::Query(error) => error.into(),
            StoreError::BadCursor => Self::new(
                StatusCode::BAD_REQUEST,
                "bad-cursor",
                StoreError::BadCursor.to_string(),
            ),
            StoreError::MemoryDropped => Self::new(
                StatusCode::CONFLICT,
                "memory-dropped",
                StoreError::MemoryDropped.to_string(),
            ),
            other if other.is_unwritable() => Self {
                log: Some(chain(&other)),
                ..Self::new(StatusCode::INSUFFICIENT_STORAGE, "no-room", NO_ROOM)
            },
            other => Self::internal(&other),
        }
    }
}

impl From<ResolveError> for Problem {
    fn from(error: ResolveError) -> Self {
        let detail = error.to_string();
        match error {
            ResolveError::NotFound { .. } => Self::not_found(detail),
            ResolveError::Ambiguous { candidates, .. } => {
                let mut problem = Self::new(StatusCode::CONFLICT, "ambiguous", detail);
                problem.body.candidates = candidates;
                problem
            }
            ResolveError::Store(error) => error.into(),
        }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        Self::bad_query("query", error)
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_parameter(rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::bad_parameter(rejection.body_text())
    }
}

impl From<tokio::task::JoinError> for Problem {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::internal(&error)
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::internal(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error as IoError, ErrorKind};

    #[test]
    fn a_disk_that_cannot_be_written_is_no_failure_of_ours() {
        for (kind, status) in [
            (ErrorKind::StorageFull, 507),
            (ErrorKind::QuotaExceeded, 507),
            (ErrorKind::ReadOnlyFilesystem, 507),
            (ErrorKind::PermissionDenied, 500),
        ] {
            let problem = Problem::from(StoreError::Io {
                action: "cannot write",
                path: PathBuf::from("/secret/place"),
                source: IoError::from(kind),
            });
            assert_eq!(problem.status().as_u16(), status, "{kind}");
            assert!(!problem.detail().contains("secret"), "{kind}");
        }
    }
}
