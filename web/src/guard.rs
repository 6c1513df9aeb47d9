//! Refuses what a hostile web page could make a browser send, and hardens every answer.
//!
//! The service listens on loopback without passwords, so a browser on the same machine is the way
//! in for strangers: cross-site requests (checked by `Sec-Fetch-Site` and `Origin`) and DNS
//! rebinding (checked by `Host`).

use crate::problem::Problem;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};
use tracing::Instrument;

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'";

/// Has lines of the log say which request they are about.
pub async fn name_in_log(request: Request, next: Next) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let span = tracing::info_span!("request", %method, path);
    next.run(request).instrument(span).await
}

/// Sets the headers that hold for every answer. `Cache-Control` stays when a handler set it.
pub async fn harden_responses(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not no-referrer: that would turn the Origin of our own forms into "null".
        (header::REFERRER_POLICY, "same-origin"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses requests that change something unless they come from our own pages or from a program.
pub async fn refuse_cross_site_changes(request: Request, next: Next) -> Response {
    let harmless = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if harmless || may_change(request.headers()) {
        return next.run(request).await;
    }
    let detail = "this request came from another site";
    Problem::new(StatusCode::FORBIDDEN, "cross-site", detail).into_response()
}

/// Whether the headers are those of a program or of a page of ours.
///
/// `Sec-Fetch-Site` decides when it is there: a browser does not let a page forge it. Browsers
/// leave it out only towards plain HTTP beyond loopback; then `Origin` must name this host.
fn may_change(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let authority = origin
        .to_str()
        .ok()
        .and_then(|o| Some(o.split_once("://")?.1));
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok());
    authority.is_some() && authority == host
}

/// Refuses requests over TCP whose `Host` is not this machine's loopback or the address listened
/// on: a name that an attacker's DNS points at 127.0.0.1 must not make us its origin.
pub async fn refuse_foreign_hosts(
    State(listen): State<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|h| h.to_str().ok());
    // HTTP/2 and absolute-form requests carry the authority in the target.
    let host = host.or(request
        .uri()
        .authority()
        .map(axum::http::uri::Authority::as_str));
    if host.is_some_and(|host| is_local(host, listen)) {
        return next.run(request).await;
    }
    let detail =
        "the Host header names neither this machine's loopback nor the address listened on";
    Problem::new(StatusCode::FORBIDDEN, "foreign-host", detail).into_response()
}

fn is_local(host: &str, listen: SocketAddr) -> bool {
    let name = without_port(host);
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let bare = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
    let address = bare.unwrap_or(name).parse::<IpAddr>();
    address.is_ok_and(|address| address.is_loopback() || address == listen.ip())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |&(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_programs_and_our_own_pages_may_change_things() {
        let check = |pairs: &[(&'static str, &'static str)], expected: bool| {
            assert_eq!(may_change(&headers(pairs)), expected, "{pairs:?}");
        };
        check(&[("host", "localhost:7400")], true);
        check(
            &[
                ("host", "localhost:7400"),
                ("sec-fetch-site", "same-origin"),
            ],
            true,
        );
        check(
            &[("host", "localhost:7400"), ("sec-fetch-site", "cross-site")],
            false,
        );
        check(
            &[("host", "localhost:7400"), ("sec-fetch-site", "same-site")],
            false,
        );
        check(
            &[
                ("host", "localhost:7400"),
                ("origin", "http://localhost:7400"),
            ],
            true,
        );
        check(
            &[
                ("host", "localhost:7400"),
                ("origin", "http://localhost:7401"),
            ],
            false,
        );
        check(
            &[
                ("host", "localhost:7400"),
                ("origin", "http://evil.example"),
            ],
            false,
        );
        check(&[("host", "localhost:7400"), ("origin", "null")], false);
        check(&[("origin", "http://localhost:7400")], false);
    }

    #[test]
    fn only_loopback_names_and_the_listen_address_are_hosts_of_ours() {
        let listen: SocketAddr = "10.1.2.3:7400".parse().unwrap();
        for ours in [
            "localhost",
            "LOCALHOST:7400",
            "127.0.0.1:7400",
            "127.9.9.9",
            "[::1]:7400",
            "[::1]",
            "10.1.2.3:7400",
        ] {
            assert!(is_local(ours, listen), "{ours}");
        }
        for foreign in [
            "",
            "evil.example",
            "evil.example:7400",
            "127.0.0.1.evil.example",
            "localhost.evil",
            "10.1.2.4:7400",
            "[::2]:7400",
            ":7400",
        ] {
            assert!(!is_local(foreign, listen), "{foreign}");
        }
    }
}
