//! Parts of files: one range of bytes, as RFC 9110 has it, and whether a client has it already.

use crate::problem::Problem;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::ops::Range;

/// What a client asks for of something that has so many bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All of it.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that are not there.
    Nothing,
    /// Only whether it has changed, and it has not.
    Unchanged,
}

impl Asked {
    /// By the headers of a request. More than one range is answered with all of it, which a server
    /// may do.
    pub fn by(headers: &HeaderMap, size: u64, tag: &str) -> Self {
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        if text(header::IF_NONE_MATCH).is_some_and(|known| is_known(known, tag)) {
            return Asked::Unchanged;
        }
        let of_another = text(header::IF_RANGE).is_some_and(|known| known != tag);
        match text(header::RANGE).and_then(|range| range.strip_prefix("bytes=")) {
            Some(range) if !of_another => of_range(range.trim(), size),
            _ => Asked::Whole,
        }
    }
}

/// Whether one of the tags of `If-None-Match` is this.
pub fn is_known(known: &str, tag: &str) -> bool {
    let mut tags = known.split(',').map(str::trim);
    tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

fn of_range(range: &str, size: u64) -> Asked {
    let Some((first, last)) = range.split_once('-') else {
        return Asked::Whole;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let part = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(last)) if first.is_empty() => size.saturating_sub(last)..size,
        _ => return Asked::Whole,
    };
    if part.is_empty() {
        Asked::Nothing
    } else {
        Asked::Part(part)
    }
}

/// An answer with these bytes out of `size`: 200, 206, 304 or 416. `body` makes a body of some.
pub fn answer(
    asked: Asked,
    size: u64,
    tag: &str,
    body: impl FnOnce(Range<u64>) -> std::io::Result<Body>,
) -> Result<Response, Problem> {
    let (status, part) = match asked {
        Asked::Whole => (StatusCode::OK, 0..size),
        Asked::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Asked::Unchanged => {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            set(&mut response, header::ETAG, tag);
            return Ok(response);
        }
        Asked::Nothing => {
            let detail = format!("there are {size} bytes, and none of those asked for");
            let status = StatusCode::RANGE_NOT_SATISFIABLE;
            let mut response = Problem::new(status, "range", detail).into_response();
            set(
                &mut response,
                header::CONTENT_RANGE,
                &format!("bytes */{size}"),
            );
            return Ok(response);
        }
    };
    let length = part.end.saturating_sub(part.start);
    let range = format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1));
    let mut response = (status, body(part)?).into_response();
    set(&mut response, header::CONTENT_LENGTH, &length.to_string());
    set(&mut response, header::ACCEPT_RANGES, "bytes");
    set(&mut response, header::ETAG, tag);
    if status == StatusCode::PARTIAL_CONTENT {
        set(&mut response, header::CONTENT_RANGE, &range);
    }
    Ok(response)
}

fn set(response: &mut Response, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_has_them() {
        let asked = |pairs: &[(header::HeaderName, &'static str)]| {
            let pairs = pairs.iter().cloned();
            let headers = pairs.map(|(name, text)| (name, HeaderValue::from_static(text)));
            Asked::by(&headers.collect(), 1000, "\"a\"")
        };
        let range = |text| asked(&[(header::RANGE, text)]);
        assert_eq!(asked(&[]), Asked::Whole);
        assert_eq!(range("bytes=0-0"), Asked::Part(0..1));
        assert_eq!(range("bytes=10-"), Asked::Part(10..1000));
        assert_eq!(range("bytes=-10"), Asked::Part(990..1000));
        assert_eq!(range("bytes=-2000"), Asked::Part(0..1000));
        assert_eq!(
            range("bytes=990-99999999999999999999999"),
            Asked::Part(990..1000)
        );
        assert_eq!(range("bytes=1000-"), Asked::Nothing);
        assert_eq!(range("bytes=-0"), Asked::Nothing);
        for odd in [
            "bytes=",
            "bytes=-",
            "bytes=5-1",
            "bytes=a-b",
            "bytes=0-1,5-6",
            "lines=1-2",
            "bytes=+1-2",
        ] {
            assert_eq!(range(odd), Asked::Whole, "{odd}");
        }
        let part = (header::RANGE, "bytes=1-2");
        assert_eq!(
            asked(&[part.clone(), (header::IF_RANGE, "\"a\"")]),
            Asked::Part(1..3)
        );
        assert_eq!(asked(&[part, (header::IF_RANGE, "\"b\"")]), Asked::Whole);
        assert_eq!(
            asked(&[(header::IF_NONE_MATCH, "\"b\", W/\"a\"")]),
            Asked::Unchanged
        );
        assert_eq!(asked(&[(header::IF_NONE_MATCH, "\"b\"")]), Asked::Whole);
    }
}
