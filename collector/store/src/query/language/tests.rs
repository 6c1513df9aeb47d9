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
                Test::Number(number, span) if span.from == span.to => {
                    format!("{number:?}={}", span.from)
                }
                Test::Number(number, span) => format!("{number:?}={}..{}", span.from, span.to),
                Test::State(state) => format!("state={state}"),
                Test::Confidence(word) => format!("confidence={word}"),
                Test::Status(status) => format!("status={}", status.as_str()),
                Test::Kept(kept) => format!("kept={kept}"),
                Test::Pinned(pinned) => format!("pinned={pinned}"),
                Test::Property(key, value) => format!("property {key}={value:?}"),
                Test::Since(at) => format!("since={}", NOW - at),
                Test::Until(at) => format!("until={}", NOW - at),
                Test::Words(words, pattern) => {
                    format!("{words:?}~{}", pattern.phrases().join("&"))
                }
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
        Err(error) => format!("{} at {}+{}", error.message, error.offset, error.length),
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
    check("pid:4711", "Pid=4711");
    check("since:24h until:10m", "since=86400000 & until=600000");
    check(
        "out of range",
        "Any~\"out\" * & Any~\"of\" & Any~\"range\" *",
    );
    check("\"out of range\"", "Any~\"out of range\"");
    check("-timeout", "-Any~\"timeout\" *");
    check("a-b", "Any~\"a-b\"");
    check("\"a:b\"", "Any~\"a:b\"");
    check("100%_\\", "Any~\"100%_\\\"");
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
    check(
        "crashes:>100 crashes:5",
        "Crashes=101..9223372036854775807 & Crashes=5",
    );
    check(
        "state:open -tag:noise owner:team-a",
        "state=open & -Tag~noise & Owner~team-a",
    );
    check(
        "file:parser.c module:libc.so.6 build_id:ab",
        "File~parser.c & Module~libc.so.6 & BuildId~ab",
    );
    check(
        "message:\"out of memory\" log:err* note:x",
        "Message~\"out of memory\" & Log~\"err\" * & Note~\"x\"",
    );
    check(
        "thread:worker-1 command:*--debug*",
        "Thread~worker-1 & Command~*--debug*",
    );
    check("cause:my-own-kind", "Cause~my-own-kind");
}

#[test]
fn wrong_queries() {
    check(
        "signall:x",
        "unknown field \"signall\": did you mean signal? at 0+7",
    );
    check(
        "host:a  imgae:x",
        "unknown field \"imgae\": did you mean image? at 8+5",
    );
    check(
        "std::vector",
        "unknown field \"std\": put the word in quotes to search for it as text at 0+3",
    );
    check(
        ":x",
        "unknown field \"\": put the word in quotes to search for it as text at 0+1",
    );
    check("image:", "image has no value at 0+6");
    for (text, place) in [
        ("*", "0+1"),
        ("-", "0+1"),
        ("a (((", "2+3"),
        ("log:***", "4+3"),
        ("\0", "0+1"),
    ] {
        let message = "no letter and no digit to look for: an empty query finds everything";
        check(text, &format!("{message} at {place}"));
    }
    check("a \"b", "a quote is not closed at 2+2");
    check(
        "kept:all",
        "kept is one of full, lean, partial, none, not \"all\" at 5+3",
    );
    check(
        "status:done",
        "status is one of pending, analyzing, analyzed, failed, not \"done\" at 7+4",
    );
    check(
        "pid:x",
        "pid: a whole number or a range (4711, >100, 10..20) expected, not \"x\" at 4+1",
    );
    check(
        "label:te*m",
        "a label's key knows no wildcard: label:key or label:key=value* at 6+4",
    );
    check(
        "since:yesterday",
        "not a time: \"yesterday\": expected a duration (24h, 10m, 7d), a time (2026-11-20T10:05) or Unix seconds at 6+9",
    );
    check(
        &"x".repeat(9000),
        "a pattern is longer than 8192 bytes at 0+9000",
    );
    check(
        &"x ".repeat(70_000),
        "the query is longer than 131072 bytes at 131072+8928",
    );
    check(&"x ".repeat(200), "more than 100 conditions at 200+1");
}

#[test]
fn wrong_queries_say_what_they_could_have_been() {
    let meant = |text: &str| {
        let error = Query::parse_at(text, NOW).unwrap_err();
        let place = text.get(error.offset..error.offset + error.length);
        (place.unwrap().to_owned(), error.suggestion)
    };
    for (text, place, suggestion) in [
        ("host:a -sgnal:x", "sgnal", Some("signal")),
        ("status:faild", "faild", Some("failed")),
        ("state:solved", "solved", Some("resolved")),
        (
            "cause:null-derefrence",
            "null-derefrence",
            Some("null-dereference"),
        ),
        ("signal:SIGSEVG", "SIGSEVG", Some("SIGSEGV")),
        ("signal:sevg", "sevg", Some("SIGSEGV")),
        ("a crashes:many b", "many", None),
        ("xyzzy:1", "xyzzy", None),
    ] {
        let expected = (place.to_owned(), suggestion.map(str::to_owned));
        assert_eq!(meant(text), expected, "{text}");
    }
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
