//! Queries that nobody means: each is answered, or told where it is wrong, by the API, the pages
//! and the program alike.

use crate::site::{Site, record};
use axum::http::StatusCode;

/// A query, and what is said of it with the place; `None` where there is an answer.
fn odd() -> Vec<(String, Option<(&'static str, usize)>)> {
    let wordless = "no letter and no digit to look for: an empty query finds everything";
    let open = "a quote is not closed";
    let unknown = "unknown field";
    let long = "a pattern is longer than 8192 bytes";
    let mut odd: Vec<(String, Option<(&str, usize)>)> = vec![
        (String::new(), None),
        ("   ".into(), None),
        ("*".into(), Some((wordless, 0))),
        ("a *".into(), Some((wordless, 2))),
        ("\0".into(), Some((wordless, 0))),
        ("a\0b host:\0".into(), None),
        ("-".into(), Some((wordless, 0))),
        ("\"".into(), Some((open, 0))),
        ("a \"b".into(), Some((open, 2))),
        (")(".into(), Some((wordless, 0))),
        ("(((((a OR b) AND NOT c".into(), None),
        ("NEAR(a b) a* ^a {about log}:a".into(), Some((unknown, 23))),
        ("nofield:x".into(), Some((unknown, 0))),
        (":x".into(), Some((unknown, 0))),
        ("host:".into(), Some(("host has no value", 0))),
        ("image:*".into(), None),
        ("-*a*".into(), None),
        ("label:=".into(), None),
        ("property:k=*'a[".into(), None),
        ("property:k*=a".into(), Some(("key knows no wildcard", 9))),
        ("pid:..".into(), None),
        ("first_seen:..".into(), None),
        (
            "crashes:>99999999999999999999".into(),
            Some(("crashes: a whole number", 8)),
        ),
        ("(".repeat(2_000), Some((wordless, 0))),
        ("(a ".repeat(200), Some(("more than 100 conditions", 300))),
        ("x".repeat(20_000), Some((long, 0))),
        (format!("host:{}", "*a".repeat(2_000)), None),
        (format!("log:\"{}\"", "a ".repeat(2_000)), None),
    ];
    for field in ["function", "image", "note", "tag", "log", "command"] {
        odd.push((format!("{field}:*a[?*]\\%_'\"--;\""), None));
    }
    odd
}

/// As a part of an address.
fn encoded(text: &str) -> String {
    let encoded: Vec<String> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    encoded.concat()
}

#[tokio::test]
async fn odd_queries_are_answered_or_told_where_they_are_wrong() {
    let site = Site::with(&[record(1)]).await;
    for (query, wrong) in odd() {
        let shown: String = query.chars().take(40).collect();
        let asked = encoded(&query);
        for path in [
            "/api/v1/dumps?query=",
            "/api/v1/groups?query=",
            "/api/v1/report?by=image,label:team&query=",
            "/dumps?query=",
            "/groups?query=",
        ] {
            let answer = site.get(&format!("{path}{asked}")).await;
            let what = format!("{path} {shown:?}");
            let api = path.starts_with("/api");
            let Some((message, offset)) = wrong else {
                assert_eq!(answer.status, StatusCode::OK, "{what}");
                continue;
            };
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
            if api {
                let problem = answer.json();
                let told = problem["detail"].as_str().unwrap_or_default().to_owned();
                assert!(told.contains(message), "{what}: {problem}");
                assert_eq!(problem["query"]["offset"], offset, "{what}");
            } else {
                let page = String::from_utf8_lossy(&answer.body);
                assert!(page.contains(message), "{what}: {page}");
            }
        }
    }
}

#[tokio::test]
async fn the_program_marks_what_is_wrong_in_odd_queries() {
    let site = Site::with(&[record(1)]).await;
    for (query, wrong) in odd() {
        // No argument of a program has a NUL.
        if query.contains('\0') || query.starts_with('-') {
            continue;
        }
        let shown: String = query.chars().take(40).collect();
        for verb in ["ls", "groups"] {
            let output = site.aground(&[verb, &query]).await;
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            match wrong {
                None => assert!(output.status.success(), "{verb} {shown:?}: {told}"),
                Some((message, _)) => {
                    assert!(!output.status.success(), "{verb} {shown:?}");
                    assert!(told.contains(message), "{verb} {shown:?}: {told}");
                }
            }
        }
    }
    // Too long for an address: whoever asks is told so.
    let output = site.aground(&["ls", &"x".repeat(100_000)]).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("long"), "{told}");
}
