//! Stacks and the signatures they must have.

#![allow(clippy::unwrap_used)]

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
        "shop::Cart<T>::add | serve",
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
fn what_is_in_no_frame_of_its_own_is_of_one_program() {
    let hash = |executable: &str, frames: &[&str]| {
        let cause = Cause {
            kind: "abort".to_owned(),
            ..Cause::default()
        };
        let facts = SignFacts {
            executable: Some(executable),
            signal: "SIGABRT",
            handler_frames: 0,
        };
        sign(&stack(frames), &cause, &facts, Rules::built_in()).hash
    };
    let stackless = ["?@/lib/libc.so.6+8a"];
    assert_ne!(hash("/app/api", &stackless), hash("/app/db", &stackless));
    assert_eq!(
        hash("/app/api", &stackless),
        hash("/usr/bin/api", &stackless)
    );
    // A library's own bug is one, whatever program has it.
    let library =
        ["read_row", "read_image", "load_icon"].map(|name| format!("{name}@/usr/lib/libicon.so"));
    let library = library.each_ref().map(String::as_str);
    assert_eq!(hash("/app/api", &library), hash("/app/db", &library));
    let own = ["abort@/lib/libc.so.6", "check", "main"];
    assert_eq!(hash("/app/api", &own), hash("/app/db", &own));
}

#[test]
fn what_the_c_library_calls_is_its_own_business() {
    let check = |frames: &[&str], title: &str| {
        assert_eq!(signed(frames, "null-dereference", "").title, title);
    };
    check(&["get_meta", "free", "release", "main"], "release | main");
    check(
        &["get_meta", "release", "main"],
        "get_meta | release | main",
    );
    check(
        &[
            "memchr",
            "printf_core",
            "vfprintf",
            "snprintf",
            "log_line",
            "main",
        ],
        "log_line | main",
    );
    check(
        &["compare", "msort_with_tmp.part.0", "qsort", "rank", "main"],
        "compare | rank | main",
    );
}

#[test]
fn an_overflow_is_its_recursion_wherever_it_ended() {
    let hash = |frames: &[&str]| signed(frames, "stack-overflow", "").hash;
    let walk = [
        "walk", "visit", "walk", "visit", "walk", "visit", "walk", "visit", "walk",
    ];
    let with = |first: &[&'static str], last: &[&'static str]| hash(&[first, &walk, last].concat());
    let whole = with(&[], &["main"]);
    assert_eq!(whole, with(&["leaf"], &["get", "main"]));
    assert_eq!(whole, with(&["format", "visit"], &["run", "serve", "main"]));
    assert_ne!(whole, hash(&["walk", "main"]));
    assert_ne!(whole, signed(&walk, "null-dereference", "").hash);
}

#[test]
fn an_assertion_names_its_function_without_symbols() {
    let glibc = "p: a.c:3: reserve: Assertion `left >= 0' failed.";
    let musl = "Assertion failed: left >= 0 (a.c: reserve: 3)";
    let cpp = "p: a.cc:3: int shop::reserve(long): Assertion `left >= 0' failed.";
    let hash = |frames: &[&str], message| signed(frames, "assertion", message).hash;
    let title = |frames: &[&str], message| signed(frames, "assertion", message).title;
    assert_eq!(
        title(&["reserve", "order", "main"], glibc),
        "reserve | order | main"
    );
    assert_eq!(title(&["order", "main"], glibc), "reserve | order | main");
    assert_eq!(title(&["?+10", "?+20"], glibc), "reserve");
    assert_eq!(title(&["order"], cpp), "shop::reserve | order");
    assert_eq!(hash(&["?+10", "?+20"], glibc), hash(&["?+77"], musl));
    assert_ne!(hash(&["?+10"], glibc), hash(&["?+10"], cpp));
    assert_eq!(title(&["order"], "no assertion: at: all"), "order");
}

#[test]
fn nameless_functions_count_by_where_they_begin() {
    let at = |offset: u64, entry: Option<u64>, trust| Frame {
        module: Some("/app/server".to_owned()),
        build_id: Some("abcd".to_owned()),
        offset: Some(Address(offset)),
        entry: entry.map(Address),
        in_app: true,
        trust,
        ..Frame::default()
    };
    let main = || at(0x2010, Some(0x2000), Trust::Cfi);
    let title = |frames: &[Frame]| {
        let (cause, facts) = (Cause::default(), SignFacts::default());
        sign(frames, &cause, &facts, Rules::built_in()).title
    };
    let whole = [at(0x1010, Some(0x1000), Trust::Context), main()];
    assert_eq!(title(&whole), "server+0x1000 | server+0x2000");
    let musl = [
        at(0x9000, None, Trust::Context),
        at(0x9100, None, Trust::Code),
        at(0x1018, Some(0x1000), Trust::Scan),
        main(),
    ];
    assert_eq!(title(&musl), "server+0x1000 | server+0x2000");
    let junk = [
        at(0x1010, Some(0x1000), Trust::Context),
        at(0x3000, None, Trust::Scan),
        main(),
    ];
    assert_eq!(title(&junk), title(&whole));
}

#[test]
fn signing_again_says_the_same() {
    let frames = ["on_crash@/app/server", "!restorer", "parse", "main"];
    let first = signed(&frames, "null-dereference", "");
    assert_eq!(first.title, "parse | main");
    let mut report = crate::analyze::without_memory(&crate::analyze::Facts::default());
    report.cause.kind = "null-dereference".to_owned();
    report.process.executable = Some("/app/server".to_owned());
    report.process.signal.name = "SIGSEGV".to_owned();
    report.threads = vec![crate::report::Thread {
        frames: stack(&frames),
        ..Default::default()
    }];
    report.signature = first.clone();
    assert_eq!(sign_again(&report, Rules::built_in()), first);
    let own = Rules::with_own("drop parse server").unwrap();
    let again = sign_again(&report, &own);
    assert_eq!(
        (again.title.as_str(), again.rules.as_str()),
        ("main", own.digest())
    );
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
