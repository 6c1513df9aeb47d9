//! Tells clients that an answer is the one they have: `ETag` and `If-None-Match` for JSON.

use super::range::is_known;
use crate::problem::Problem;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Larger answers have no tag, bytes.
const LARGEST: u64 = 16 << 20;

/// Adds a tag to JSON, and leaves out what the client has.
pub async fn revalidate(request: Request, next: Next) -> Response {
    let known = request.headers().get(header::IF_NONE_MATCH);
    let known = known
        .and_then(|tags| tags.to_str().ok())
        .map(ToOwned::to_owned);
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE);
    let json = kind.is_some_and(|kind| kind == "application/json");
    let small = response
        .body()
        .size_hint()
        .upper()
        .is_some_and(|bytes| bytes <= LARGEST);
    if response.status() != StatusCode::OK || !json || !small {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match to_bytes(body, usize::MAX).await {
        Ok(bytes) => bytes,
        Err(error) => return Problem::internal(&error).into_response(),
    };
    let tag = tag(&bytes);
    if let Ok(tag) = HeaderValue::try_from(&tag) {
        parts.headers.insert(header::ETAG, tag);
    }
    if known.is_some_and(|known| is_known(&known, &tag)) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn tag(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let digits = digest.iter().take(16);
    let mut tag = digits.fold("\"".to_owned(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    });
    tag.push('"');
    tag
}
