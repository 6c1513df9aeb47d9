//! Stacks and the signatures they must have.

use super::*;
use crate::report::{Address, Cause, Frame, Signature, Trust};

/// `function`, `function@/module`, `?@/module+10` (no name), with `!` at the head for the
/// trampoline of a handler that ran after the fact, `%` for that of any other handler, and `~` for a scanned frame.
fn stack(frames: &[&str]) -> Vec<Frame> {
    frames.iter().map(|text| frame(text)).collect()
}

fn frame(text: &str) -> Frame {
    let signal_trampoline = text.starts_with(['!', '%']);
    let trust = if text.starts_with('~') {
        Trust::Scan
    } else {
        Trust::Cfi
    };
    let text = text.trim_start_matches(['!', '%', '~']);
    let (text, offset) = match text.rsplit_once('+') {
        Some((text, offset)) if !offset.contains('.') => (text, offset),
        _ => (text, "1000"),
    };
    let (function, module) = text.split_once('@').unwrap_or((text, "/app/server"));
    let function = (function != "?").then(|| function.to_owned());
    Frame {
        in_app: in_app(Some(module), function.as_deref()),
        function,
        build_id: Some("abcd".to_owned()),
        module: Some(module.to_owned()),
        offset: u64::from_str_radix(offset, 16).ok().map(Address),
        signal_trampoline,
        trust,
        ..Frame::default()
    }
}

fn signed(frames: &[&str], kind: &str, message: &str) -> Signature {
    let cause = Cause {
        kind: kind.to_owned(),
        message: Some(message.to_owned()),
        ..Cause::default()
    };
    let facts = SignFacts {
        executable: Some("/app/server"),
        signal: "SIGSEGV",
        handler_frames: frames
            .iter()
            .rposition(|text| text.starts_with('!'))
            .map_or(0, |trampoline| trampoline + 1),
    };
    sign(&stack(frames), &cause, &facts, Rules::built_in())
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn titles() {
    let check = |frames: &[&str], kind: &str, title: &str| {
        let signature = signed(frames, "null-dereference", "");
        assert_eq!(
            (signature.kind.as_str(), signature.title.as_str()),
            (kind, title),
            "{frames:?}"
        );
    };
    check(
        &[
            "parse_header",
            "handle_request",
            "serve",
            "main",
            "__libc_start_call_main@/lib/libc.so.6",
            "_start",
        ],
        "symbolic",
        "parse_header | handle_request | serve",
    );
    check(
        &[
            "?@/lib/x86_64-linux-gnu/libc.so.6+8a",
            "raise@/lib/x86_64-linux-gnu/libc.so.6",
            "abort@/lib/x86_64-linux-gnu/libc.so.6",
            "?@/lib/x86_64-linux-gnu/libc.so.6+25",
            "__assert_fail@/lib/x86_64-linux-gnu/libc.so.6",
            "checkout",
            "main",
        ],
        "symbolic",
        "checkout | main",
    );
    check(
        &[
            "abort@/lib/libc.so.6",
            "?@/lib/libstdc++.so.6+9",
            "std::terminate()@/lib/libstdc++.so.6",
            "__cxa_throw@/lib/libstdc++.so.6",
            "shop::charge(int)",
            "main",
        ],
        "symbolic",
        "shop::charge | main",
    );
    check(
        &[
            "std::process::abort",
            "rust_panic",
            "core::panicking::panic_bounds_check",
            "shop::pick",
            "shop::main",
            "core::ops::function::FnOnce::call_once<fn(), ()>",
            "std::rt::lang_start::<()>::{closure#0}",
            "std::rt::lang_start_internal",
            "main",
            "_start",
        ],
        "symbolic",
        "shop::pick | shop::main",
    );
    check(
        &[
            "runtime.raise.abi0",
            "runtime.dieFromSignal",
            "runtime.crash",
            "runtime.fatalpanic",
            "runtime.gopanic",
            "runtime.panicmem",
            "runtime.sigpanic",
            "main.(*Cart).Total",
            "main.main",
            "runtime.main",
            "runtime.goexit.abi0",
        ],
        "symbolic",
        "main.(*Cart).Total | main.main",
    );
    check(
        &["on_segv", "!__restore_rt@/lib/libc.so.6", "leaf", "main"],
        "symbolic",
        "leaf | main",
    );
    check(
        &[
            "shop::Cart<int>::add",
            "operator()",
            "__invoke_impl<void, serve()::<lambda()> >",
            "_M_invoke<0>",
            "_M_run",
            "?@/usr/lib/libstdc++.so.6",
            "start_thread@/usr/lib/libc.so.6",
        ],
        "symbolic",
        "shop::Cart<T>::add | operator()",
    );
    check(
        &[
            "tick",
            "on_alarm",
            "%__restore_rt@/lib/libc.so.6",
            "elsewhere",
        ],
        "symbolic",
        "tick | on_alarm",
    );
    check(
        &["?+1136", "?+1200", "?@/lib/libc.so.6+1"],
        "offsets",
        "server+0x1136 | server+0x1200",
    );
    check(
        &[
            "strlen@/lib/libc.so.6",
            "PyObject_Call@/usr/bin/python3.11",
            "?@/usr/bin/python3.11+9",
        ],
        "symbolic",
        "PyObject_Call",
    );
    check(
        &["fib", "fib", "fib", "even", "odd", "even", "odd", "main"],
        "symbolic",
        "fib | even | odd",
    );
    check(&["leaf", "~junk", "main"], "symbolic", "leaf | main");
    check(
        &["?@/usr/lib/libfoo.so.1+20"],
        "offsets",
        "libfoo.so.1+0x20",
    );
    check(&[], "facts", "SIGSEGV in server");
}

#[test]
fn one_bug_is_one_hash_and_two_bugs_are_two() {
    let base = signed(
        &["parse_header+10", "serve+20", "main"],
        "null-dereference",
        "",
    )
    .hash;
    let same = |other: Signature| assert_eq!(base, other.hash, "{}", other.title);
    let differs = |other: Signature| assert_ne!(base, other.hash, "{}", other.title);
    same(signed(
        &["parse_header+99", "serve+77", "main"],
        "null-dereference",
        "",
    ));
    same(signed(
        &[
            "parse_header.part.0",
            "serve.cold",
            "main",
            "__libc_start_main@/lib/libc.so.6",
        ],
        "invalid-address",
        "",
    ));
    differs(signed(
        &["parse_body", "serve", "main"],
        "null-dereference",
        "",
    ));
    differs(signed(
        &["parse_header", "serve", "main"],
        "assertion",
        "p: a.c:3: serve: Assertion `n < 4' failed.",
    ));
    differs(signed(&["?+10", "?+20"], "null-dereference", ""));
    differs(signed(&[], "null-dereference", ""));
}

#[test]
fn messages_count_where_they_are_the_programs_words() {
    let hash = |kind, message| signed(&["f", "main"], kind, message).hash;
    assert_eq!(
        hash("assertion", "old: a.c:3: f: Assertion `n < 4' failed."),
        hash("assertion", "new: b.c:99: f: Assertion `n < 4' failed.")
    );
    assert_ne!(
        hash("assertion", "p: a.c:3: f: Assertion `n < 4' failed."),
        hash("assertion", "p: a.c:3: f: Assertion `m' failed.")
    );
    assert_eq!(
        hash(
            "panic",
            "index out of bounds: the len is 3 but the index is 7"
        ),
        hash(
            "panic",
            "index out of bounds: the len is 12 but the index is 0x1f"
        )
    );
    assert_eq!(
        hash("panic", "open /etc/a.conf: no such file"),
        hash("panic", "open /tmp/x7/b.conf: no such file")
    );
    assert_eq!(
        hash("panic", "no order f47ac10b-58cc"),
        hash("panic", "no order 0b9d77aa-11fe")
    );
    assert_ne!(hash("panic", "open failed"), hash("panic", "close failed"));
    assert_eq!(
        hash("panic", "no user \"ann\""),
        hash("panic", "no user \"bob\"")
    );
    assert_ne!(
        hash("panic", "called `Option::unwrap()` on a `None` value"),
        hash("panic", "explicit panic")
    );
    assert_eq!(
        hash("uncaught-exception", "a"),
        hash("uncaught-exception", "b")
    );
}

#[test]
fn nameless_crashes_do_not_fall_together() {
    let one = signed(&["?+1136"], "null-dereference", "");
    let two = signed(&["?+2000"], "null-dereference", "");
    assert_ne!(one.hash, two.hash);
    let nowhere = Frame {
        pc: Address(7),
        ..Frame::default()
    };
    let facts = SignFacts {
        executable: Some("/app/a"),
        signal: "SIGSEGV",
        handler_frames: 0,
    };
    let lost = sign(&[nowhere], &Cause::default(), &facts, Rules::built_in());
    assert_eq!(
        (lost.kind.as_str(), lost.title.as_str()),
        ("facts", "SIGSEGV in a")
    );
    assert!(!lost.frames[0].kept && lost.frames[0].rule.is_some());
}
