//! What queries mean, and what wrong ones are told.

#![allow(clippy::unwrap_used)]
use super::*;

const NOW: i64 = 1_800_000_000_000;

/// Writes a parsed query in one canonical line.
fn shown(query: &Query) -> String {
    let clauses: Vec<String> = query
        .clauses
        .iter()
        .map(|clause| {
            let sign = if clause.negated { "-" } else { "" };
            let test = match &clause.test {
                Test::Text(field, pattern) => format!("{field:?}~{}", pattern.glob()),
                Test::Label(key, None) => format!("label[{key}]"),
                Test::Label(key, Some(value)) => format!("label[{key}]~{}", value.glob()),
                Test::SignalNumber(number) => format!("signal={number}"),
                Test::Pid(pid) => format!("pid={pid}"),
                Test::Uid(uid) => format!("uid={uid}"),
                Test::Confidence(word) => format!("confidence={word}"),
                Test::Status(status) => format!("status={}", status.as_str()),
                Test::Kept(kept) => format!("kept={kept}"),
                Test::Pinned(pinned) => format!("pinned={pinned}"),
                Test::Since(at) => format!("since={}", NOW - at),
                Test::Until(at) => format!("until={}", NOW - at),
                Test::Property(key, value) => format!("property {key}={value:?}"),
                Test::Word(pattern) => format!("word~{}", pattern.like_anywhere()),
            };
            format!("{sign}{test}")
        })
        .collect();
    clauses.join(" & ")
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let got = match Query::parse_at(text, NOW) {
        Ok(query) => shown(&query),
        Err(error) => format!("{} at {}", error.message, error.offset),
    };
    assert_eq!(got, expected, "{text}");
}

#[test]
fn queries() {
    check("", "");
    check("  \t ", "");
    check("image:api*", "Image~api*");
    check("image:api:1.42", "Image~api:1.42");
    check("name:web container:db", "Container~web & Container~db");
    check("-host:build7", "-Host~build7");
    check("signal:SIGSEGV", "Signal~SIGSEGV");
    check("signal:segv", "Signal~SIGSEGV");
    check("signal:11", "signal=11");
    check("signal:SIG*", "Signal~SIG*");
    check("label:team", "label[team]");
    check("label:team=core", "label[team]~core");
    check("label:team=", "label[team]~");
    check("label:url=http://a:1/?x=y", "label[url]~http://a:1/[?]x=y");
    check("label:team=co*", "label[team]~co*");
    check(
        "frame:parse_header function:f*",
        "Function~parse_header & Function~f*",
    );
    check("status:failed", "status=failed");
    check("kept:lean -kept:none", "kept=lean & -kept=none");
    check("pinned:yes pinned:false", "pinned=true & pinned=false");
    check("pid:4711", "pid=4711");
    check("since:24h until:10m", "since=86400000 & until=600000");
    check("out of range", "word~%out% & word~%of% & word~%range%");
    check("\"out of range\"", "word~%out of range%");
    check("-timeout", "-word~%timeout%");
    check("-", "word~%-%");
    check("a-b", "word~%a-b%");
    check("\"a:b\"", "word~%a:b%");
    check("100%_\\", "word~%100\\%\\_\\\\%");
    check("exe:\"/opt/my app/*\"", "Executable~/opt/my app/[*]");
    check(
        "exe:\"say \\\"hi\\\" \\\\ \\n\"",
        "Executable~say \"hi\" \\ \\n",
    );
    check("host:a?[b]", "Host~a[?][[]b]");
    check(
        "comm:'; unit:ssh cause:abort",
        "Name~'; & Unit~ssh & Cause~abort",
    );
    check(
        "runtime:docker image_id:sha256:ab",
        "Runtime~docker & ImageId~sha256:ab",
    );
    check("id:ab group:cd", "Id~ab & Group~cd");
}

#[test]
fn wrong_queries() {
    check(
        "signall:x",
        "unknown field \"signall\": did you mean signal? at 0",
    );
    check(
        "host:a  imgae:x",
        "unknown field \"imgae\": did you mean image? at 8",
    );
    check(
        "std::vector",
        "unknown field \"std\": put the word in quotes to search for it as text at 0",
    );
    check(
        ":x",
        "unknown field \"\": put the word in quotes to search for it as text at 0",
    );
    check("image:", "image has no value at 0");
    check("a \"b", "a quote is not closed at 2");
    check(
        "kept:all",
        "kept is one of full, lean, partial, none, not \"all\" at 0",
    );
    check(
        "status:done",
        "unknown status \"done\": one of pending, analyzing, analyzed, failed at 0",
    );
    check("pid:x", "pid is not a number: \"x\" at 0");
    check(
        "label:te*m",
        "a label's key knows no wildcard: label:key or label:key=value* at 0",
    );
    check(
        "since:yesterday",
        "not a time: \"yesterday\": expected a duration (24h, 10m, 7d), a time (2026-11-20T10:05) or Unix seconds at 0",
    );
    check(
        &"x".repeat(9000),
        "a pattern is longer than 8192 bytes at 0",
    );
    check(
        &"x ".repeat(70_000),
        "the query is longer than 131072 bytes at 0",
    );
    check(&"x ".repeat(200), "more than 100 conditions at 200");
}

#[test]
fn docker_filters() {
    let check = |filter: &str, expected: &str| {
        let got = match Query::default().with_filter(filter) {
            Ok(query) => shown(&query),
            Err(error) => error.message,
        };
        assert_eq!(got, expected, "{filter}");
    };
    check("image=api:1", "Image~api:1");
    check("label=team=core", "label[team]~core");
    check("label=team", "label[team]");
    check("name=two words", "Container~two words");
    check("signal!=abrt", "-Signal~SIGABRT");
    check("image", "invalid filter \"image\": key=value expected");
    check(
        "=x",
        "unknown field \"\": put the word in quotes to search for it as text",
    );
    check(
        "statsu=failed",
        "unknown field \"statsu\": did you mean status?",
    );
    check("image=", "image has no value");
}

#[test]
fn any_text_is_a_query_or_an_error() {
    // Every two- and three-character text over the characters that mean something.
    let special = ['-', ':', '"', '*', '\\', ' ', '=', 'a', '\0', 'ü'];
    for a in special {
        for b in special {
            for c in special {
                let text = String::from_iter([a, b, c]);
                if let Err(error) = Query::parse_at(&text, NOW) {
                    assert!(
                        error.offset <= text.len() && !error.message.contains('\n'),
                        "{text:?}: {error}"
                    );
                }
            }
        }
    }
}
