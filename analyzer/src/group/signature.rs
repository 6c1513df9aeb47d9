//! Decides frame by frame what counts, and makes the signature of it.

use super::normalize;
use super::rules::{file_name, plumbing, startup};
use crate::report::{Cause, Frame, Signature, SignatureFrame, Trust};
use sha2::{Digest, Sha256};

/// The version of algorithm and rules. The rule files are part of it.
pub const SIGNATURE_VERSION: u32 = 1;

/// How many frames make a signature. Fewer would merge what only crashes in one place; more would
/// split one bug by the paths that lead to it.
pub const MAX_KEPT: usize = 5;

/// How many frames the title names.
const TITLE_FRAMES: usize = 3;

/// The longest message text that counts, characters.
const MAX_MESSAGE: usize = 160;

/// What is known of a crash apart from its stack.
#[derive(Clone, Copy, Debug, Default)]
pub struct SignFacts<'a> {
    /// Path of the executable.
    pub executable: Option<&'a str>,
    /// Signal name.
    pub signal: &'a str,
    /// How many innermost frames ran after the fact, in handlers of the signal that tells it:
    /// see `cause::handler_frames`.
    pub handler_frames: usize,
}

/// The signature of a crash from its crashed thread's frames, innermost first.
pub fn sign(frames: &[Frame], cause: &Cause, facts: &SignFacts<'_>) -> Signature {
    let mut judged = judge(frames, facts.handler_frames);
    let kind = choose_kind(&mut judged);
    keep_first_of_each(&mut judged, kind);
    let kept: Vec<&Judged<'_>> = judged.iter().filter(|frame| frame.rule.is_none()).collect();
    let kind = if kept.is_empty() { Kind::Facts } else { kind };
    let identity = identity(&kept, kind, facts);
    Signature {
        version: SIGNATURE_VERSION,
        kind: kind.as_str().to_owned(),
        title: title(&kept, kind, facts),
        hash: hash(&identity, kind, cause),
        frames: judged.into_iter().map(Judged::explained).collect(),
    }
}

/// Where it happened, for a title: the topmost frame that counts. `None` when none does.
pub fn place(frames: &[Frame]) -> Option<String> {
    let judged = judge(frames, 0);
    let first = judged.iter().find(|frame| frame.rule.is_none())?;
    Some(first.label())
}

/// The coarse class of a cause kind: what one bug may look like from one run to the next.
pub fn class(kind: &str) -> &str {
    match kind {
        "null-dereference"
        | "near-null-access"
        | "invalid-address"
        | "non-canonical-address"
        | "permission-violation"
        | "freed-memory"
        | "wild-jump"
        | "truncated-mapping"
        | "misaligned-access" => "memory",
        other => other,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Symbolic,
    Offsets,
    Facts,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Kind::Symbolic => "symbolic",
            Kind::Offsets => "offsets",
            Kind::Facts => "facts",
        }
    }
}

/// A frame and the reason it does not count.
struct Judged<'f> {
    frame: &'f Frame,
    name: Option<String>,
    rule: Option<String>,
}

impl Judged<'_> {
    fn drop_for(&mut self, rule: impl Into<String>) {
        self.rule.get_or_insert_with(|| rule.into());
    }

    /// As a person reads it: the function, or `module+0xoffset`.
    fn label(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => offset_in_module(self.frame),
        }
    }

    /// As the hash sees it. The build ID tells builds apart in which an offset means different code.
    fn key(&self, kind: Kind) -> String {
        match (kind, &self.name) {
            (Kind::Symbolic, Some(name)) => name.clone(),
            _ => match (&self.frame.build_id, self.frame.offset) {
                (Some(build), Some(offset)) => format!("{build}+{offset}"),
                _ => offset_in_module(self.frame),
            },
        }
    }

    fn explained(self) -> SignatureFrame {
        SignatureFrame {
            function: self.label(),
            kept: self.rule.is_none(),
            rule: self.rule,
        }
    }
}

fn offset_in_module(frame: &Frame) -> String {
    match (&frame.module, frame.offset) {
        (Some(module), Some(offset)) => format!("{}+{offset}", file_name(module)),
        (Some(module), None) => file_name(module).to_owned(),
        // An address outside every module differs with each run: it cannot count.
        (None, _) => "unknown".to_owned(),
    }
}

/// What the rules say of each frame.
fn judge(frames: &[Frame], handler_frames: usize) -> Vec<Judged<'_>> {
    let rust = frames
        .iter()
        .filter_map(|f| f.function.as_deref())
        .any(|f| f.contains("std::rt::lang_start"));
    let mut judged: Vec<Judged<'_>> = frames.iter().map(|frame| by_rules(frame, rust)).collect();
    drop_around_signals(&mut judged, handler_frames);
    let certain = judged
        .iter()
        .any(|f| f.rule.is_none() && f.frame.trust != Trust::Scan);
    for frame in judged
        .iter_mut()
        .filter(|f| certain && f.frame.trust == Trust::Scan)
    {
        frame.drop_for("guess: found by scanning the stack");
    }
    if judged.iter().any(|f| f.rule.is_none() && f.frame.in_app) {
        for frame in judged.iter_mut().filter(|f| !f.frame.in_app) {
            frame.drop_for("system: not the application's own code");
        }
    }
    judged
}

/// A handler that ran after the fact is not the fact. A handler that is itself what failed, of a
/// timer say, interrupted code that has nothing to do with it.
fn drop_around_signals(judged: &mut [Judged<'_>], handler_frames: usize) {
    for frame in judged.iter_mut().take(handler_frames) {
        frame.drop_for("signal: a handler, after the fact");
    }
    let interrupted = judged
        .iter()
        .skip(handler_frames)
        .position(|judged| judged.frame.signal_trampoline)
        .map_or(judged.len(), |at| at.saturating_add(handler_frames));
    for frame in judged.iter_mut().skip(interrupted) {
        frame.drop_for("signal: what a handler interrupted");
    }
}

fn by_rules(frame: &Frame, rust: bool) -> Judged<'_> {
    let name = frame
        .function
        .as_deref()
        .map(normalize)
        .filter(|name| !name.is_empty());
    let module = frame.module.as_deref();
    let rule = match &name {
        None if frame.module.is_none() => Some("nowhere: the address lies in no module".to_owned()),
        None => None,
        Some(name) if rust && name == "main" => Some("startup: Rust's wrapper of main".to_owned()),
        Some(name) => plumbing()
            .matching(name, module)
            .or_else(|| startup().matching(name, module)),
    };
    Judged { frame, name, rule }
}

/// Symbolic when the topmost frame that counts has a name; then those without drop out.
fn choose_kind(judged: &mut [Judged<'_>]) -> Kind {
    let first = judged.iter().find(|frame| frame.rule.is_none());
    if first.is_none_or(|frame| frame.name.is_none()) {
        return Kind::Offsets;
    }
    for frame in judged.iter_mut().filter(|frame| frame.name.is_none()) {
        frame.drop_for("nameless: no symbol covers it");
    }
    Kind::Symbolic
}

/// Recursion of any depth counts once, and only the first frames count.
fn keep_first_of_each(judged: &mut [Judged<'_>], kind: Kind) {
    let mut seen: Vec<String> = Vec::new();
    for frame in judged.iter_mut().filter(|frame| frame.rule.is_none()) {
        let key = frame.key(kind);
        if seen.contains(&key) {
            frame.drop_for("recursion: counted above");
        } else if seen.len() >= MAX_KEPT {
            frame.drop_for(format!("depth: only the first {MAX_KEPT} count"));
        } else {
            seen.push(key);
        }
    }
}

fn identity(kept: &[&Judged<'_>], kind: Kind, facts: &SignFacts<'_>) -> Vec<String> {
    match kind {
        Kind::Facts => vec![
            facts.executable.unwrap_or_default().to_owned(),
            facts.signal.to_owned(),
        ],
        _ => kept.iter().map(|frame| frame.key(kind)).collect(),
    }
}

fn title(kept: &[&Judged<'_>], kind: Kind, facts: &SignFacts<'_>) -> String {
    if kind == Kind::Facts {
        let executable = facts.executable.map_or("an unknown program", file_name);
        return format!("{} in {executable}", facts.signal);
    }
    let labels: Vec<String> = kept
        .iter()
        .take(TITLE_FRAMES)
        .map(|frame| frame.label())
        .collect();
    labels.join(" | ")
}

fn hash(identity: &[String], kind: Kind, cause: &Cause) -> String {
    let mut hasher = Sha256::new();
    let mut add = |part: &str| {
        // Length first, so that no two lists of parts read alike.
        hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(part.as_bytes());
    };
    add(&SIGNATURE_VERSION.to_string());
    add(kind.as_str());
    add(class(&cause.kind));
    add(&spoken(cause));
    for part in identity {
        add(part);
    }
    format!("{:x}", hasher.finalize())
}

/// What of the message is the bug's own: the text of an assertion, the words of a panic.
fn spoken(cause: &Cause) -> String {
    let message = cause.message.as_deref().unwrap_or_default();
    match cause.kind.as_str() {
        "assertion" => fold_numbers(asserted(message)),
        // Whichever of its threads was interrupted, it is this circle.
        "deadlock" => message.to_owned(),
        "panic" => fold_data(&without_quotations(message)),
        _ => String::new(),
    }
}

/// ``prog: file.c:42: func: Assertion `n < 4' failed.`` → `n < 4`.
fn asserted(message: &str) -> &str {
    let Some((_, rest)) = message.split_once("ssertion `") else {
        return message;
    };
    rest.rsplit_once("' failed")
        .map_or(rest, |(expression, _)| expression)
}

/// Quoted text in a panic is data.
fn without_quotations(message: &str) -> String {
    let parts = message.split(['"', '`']).enumerate();
    parts
        .filter(|(at, _)| at % 2 == 0)
        .map(|(_, part)| part)
        .collect()
}

/// Words of a panic that are data: with a digit in them, `N`; with a slash, a path.
fn fold_data(message: &str) -> String {
    let message: String = message.chars().take(MAX_MESSAGE).collect();
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    let mut folded = String::new();
    let mut rest = message.as_str();
    while let Some(c) = rest.chars().next() {
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end.max(c.len_utf8()));
        folded.push_str(if word.contains('/') {
            "PATH"
        } else if word.contains(|c: char| c.is_ascii_digit()) {
            "N"
        } else {
            word
        });
        rest = after;
    }
    folded
}

/// Every number and address becomes `N`.
fn fold_numbers(message: &str) -> String {
    let mut folded = String::new();
    let mut in_number = false;
    for c in message.chars().take(MAX_MESSAGE) {
        if in_number && (c.is_ascii_hexdigit() || c == 'x') {
            continue;
        }
        in_number = c.is_ascii_digit();
        folded.push(if in_number { 'N' } else { c });
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Address;

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
            in_app: super::super::in_app(Some(module), function.as_deref()),
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
        sign(&stack(frames), &cause, &facts)
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
        let lost = sign(&[nowhere], &Cause::default(), &facts);
        assert_eq!(
            (lost.kind.as_str(), lost.title.as_str()),
            ("facts", "SIGSEGV in a")
        );
        assert!(!lost.frames[0].kept && lost.frames[0].rule.is_some());
    }
}
