//! What pages know of the request they answer: who reads, the look they chose, and where a form
//! was sent from.

use super::theme::Theme;
use crate::access::Access;
use crate::access::route::{ADMIN, ADMIN_ALL, DEBUG, DEBUG_ALL, Needs, READ_ALL, allows};
use crate::access::who::Who;
use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, Method, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

/// What a request says of the page it came from.
#[derive(Clone, Debug, Default)]
struct Visit {
    theme: Theme,
    /// The page whose form this is.
    back: Option<String>,
}

tokio::task_local! {
    static VISIT: Visit;
    static READER: Access;
}

/// Lets what answers a request know its theme and where it came from.
pub async fn remember(request: Request, next: Next) -> Response {
    let sent = *request.method() == Method::POST;
    let visit = Visit {
        theme: Theme::of(request.headers()),
        back: came_from(request.headers()).filter(|_| sent),
    };
    VISIT.scope(visit, next.run(request)).await
}

/// Lets what answers a request know who reads.
pub async fn read_by<F: Future>(access: Access, answer: F) -> F::Output {
    READER.scope(access, answer).await
}

/// The look that was chosen.
pub fn theme() -> Theme {
    VISIT.try_with(|visit| visit.theme).unwrap_or_default()
}

/// The page of ours whose form is being answered.
pub fn back() -> Option<String> {
    VISIT.try_with(|visit| visit.back.clone()).ok().flatten()
}

/// The token that the reader is signed in with.
pub fn signed_in() -> Option<String> {
    let name = |access: &Access| match &access.who {
        Who::Token { name, .. } => Some(name.clone()),
        _ => None,
    };
    READER.try_with(name).ok().flatten()
}

/// Whether the reader is nobody yet.
pub fn signed_out() -> bool {
    READER
        .try_with(|access| access.role.is_none())
        .unwrap_or(false)
}

fn may(needs: Needs) -> bool {
    READER
        .try_with(|access| allows(needs, access))
        .unwrap_or(false)
}

/// What the reader may; pages offer nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct May;

impl May {
    /// See what is about all crashes.
    pub fn read_all(self) -> bool {
        may(READ_ALL)
    }

    /// See memory, pin and analyze.
    pub fn debug(self) -> bool {
        may(DEBUG)
    }

    /// Decide about groups, import, upload.
    pub fn debug_all(self) -> bool {
        may(DEBUG_ALL)
    }

    /// Remove crashes.
    pub fn admin(self) -> bool {
        may(ADMIN)
    }

    /// Change the service, and see its settings.
    pub fn admin_all(self) -> bool {
        may(ADMIN_ALL)
    }
}

/// Where the browser came from, as far as it is a page of ours.
pub fn came_from(headers: &HeaderMap) -> Option<String> {
    let referer = headers.get(header::REFERER)?.to_str().ok()?;
    let uri = referer.parse::<Uri>().ok()?;
    let path = uri.path_and_query().map(PathAndQuery::as_str)?;
    is_ours(path).then(|| path.to_owned())
}

/// Whether it is a path of this service, and nothing that leads to another host: two slashes do,
/// and browsers take a backslash for one.
pub fn is_ours(path: &str) -> bool {
    let plain = path
        .bytes()
        .all(|byte| (0x21..0x7f).contains(&byte) && byte != b'\\');
    plain && path.starts_with('/') && !path.starts_with("//")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_way_back_stays_here() {
        for (referer, expected) in [
            (
                "http://localhost:7400/dumps?query=a",
                Some("/dumps?query=a"),
            ),
            ("http://localhost:7400", Some("/")),
            ("http://localhost:7400//evil.example/x", None),
            ("http://localhost:7400/\\evil.example/x", None),
            ("javascript:alert(1)", None),
            ("nonsense of a referer", None),
        ] {
            let headers = HeaderMap::from_iter([(header::REFERER, referer.parse().unwrap())]);
            assert_eq!(came_from(&headers).as_deref(), expected, "{referer}");
        }
        assert_eq!(came_from(&HeaderMap::new()), None);
    }

    #[test]
    fn who_is_not_known_may_nothing() {
        assert!(!May.read_all() && !May.debug() && !May.admin());
    }
}
