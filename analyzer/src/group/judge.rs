//! Decides frame by frame what counts.

use super::normalize::{lambda_among_arguments, normalize};
use super::rules::{Action, Rules, file_name, in_app};
use crate::report::{Frame, SignatureFrame, Trust};
use std::collections::BTreeMap;

/// How many frames make a signature. The first ones tell which bug it is, the others by which way
/// it was reached; those further out say little and are many.
pub const MAX_KEPT: usize = 8;

/// The same where the first frames are the nameless way from a failure to the kernel: a panic's is
/// a dozen functions long.
pub(super) const MAX_NAMELESS_WAY: usize = 24;

/// Frames looked at in search of a recursion.
const RECURSION_MAX: usize = 256;

/// What names the frames that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Symbolic,
    Offsets,
    Facts,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::Symbolic => "symbolic",
            Kind::Offsets => "offsets",
            Kind::Facts => "facts",
        }
    }
}

/// A frame and the reason it does not count.
pub(super) struct Judged<'f> {
    pub(super) frame: &'f Frame,
    name: Option<String>,
    pub(super) rule: Option<String>,
    /// The rule that says that it never decides alone.
    pub(super) helper: Option<String>,
    pub(super) system: bool,
    /// Whether it is a function of the C library that calls nothing of the program's.
    library: bool,
}

impl Judged<'_> {
    fn drop_for(&mut self, rule: impl Into<String>) {
        self.rule.get_or_insert_with(|| rule.into());
    }

    pub(super) fn counts(&self) -> bool {
        self.rule.is_none()
    }

    /// As a person reads it: the function, or `module+0xoffset`.
    pub(super) fn label(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => offset_in_module(self.frame),
        }
    }

    /// As the hash sees it. The build ID tells builds apart in which an offset means different
    /// code; where the function begins is the same for each of its instructions.
    pub(super) fn key(&self, kind: Kind) -> String {
        let place = self.frame.entry.or(self.frame.offset);
        match (kind, &self.name) {
            (Kind::Symbolic, Some(name)) => name.clone(),
            _ => match (&self.frame.build_id, place) {
                (Some(build), Some(place)) => format!("{build}+{place}"),
                _ => offset_in_module(self.frame),
            },
        }
    }

    pub(super) fn explained(self, kind: Kind) -> SignatureFrame {
        let (key, label) = (self.key(kind), self.label());
        let counts = self.counts();
        SignatureFrame {
            key: Some(key).filter(|key| counts && *key != label),
            function: label,
            kept: counts,
            rule: self.rule,
            helper: self.helper.filter(|_| counts),
            inlined: counts && self.frame.inline,
            opaque: counts && self.name.is_some() && self.frame.line.is_none(),
        }
    }
}

fn offset_in_module(frame: &Frame) -> String {
    match (&frame.module, frame.entry.or(frame.offset)) {
        (Some(module), Some(offset)) => format!("{}+{offset}", file_name(module)),
        (Some(module), None) => file_name(module).to_owned(),
        // An address outside every module differs with each run: it cannot count.
        (None, _) => "unknown".to_owned(),
    }
}

/// What the rules say of each frame.
pub(super) fn judge<'f>(
    frames: &'f [Frame],
    handler_frames: usize,
    rules: &Rules,
) -> Vec<Judged<'f>> {
    let rust = frames
        .iter()
        .filter_map(|f| f.function.as_deref())
        .any(|f| f.contains("std::rt::lang_start"));
    let mut judged: Vec<Judged<'_>> = (0..frames.len())
        .filter_map(|at| by_rules(frames.get(at..)?, rust, rules))
        .collect();
    drop_inside_library(&mut judged);
    drop_around_signals(&mut judged, handler_frames);
    drop_undescribed(&mut judged);
    drop_guesses(&mut judged);
    if judged.iter().any(|f| f.counts() && !f.system) {
        for frame in judged.iter_mut().filter(|f| f.system) {
            frame.drop_for("system: not the application's own code");
        }
    }
    judged
}

/// Compilers describe every function of a program to unwinders, musl's hand-written code and C
/// library do not: without names that tells `strlen` from the program it is linked into.
fn drop_undescribed(judged: &mut [Judged<'_>]) {
    let described = |judged: &Judged<'_>| judged.frame.entry.is_some();
    if judged
        .iter()
        .any(|frame| frame.counts() && described(frame))
    {
        for frame in judged.iter_mut().filter(|frame| frame.name.is_none()) {
            if !described(frame) {
                frame.drop_for("undescribed: no unwind information, as of a C library's own code");
            }
        }
    }
}

/// What was found by its looks does not count where something is certain. A nameless function
/// whose own unwind information led on is no guess any more.
fn drop_guesses(judged: &mut [Judged<'_>]) {
    let led_on: Vec<bool> = judged
        .iter()
        .skip(1)
        .map(|outer| outer.frame.trust == Trust::Cfi)
        .chain([false])
        .collect();
    let guess = |judged: &Judged<'_>, led_on: bool| {
        let described = judged.name.is_none() && judged.frame.entry.is_some();
        judged.frame.trust == Trust::Scan && !(described && led_on)
    };
    let mut all = judged.iter().zip(&led_on);
    if all.any(|(frame, led_on)| frame.counts() && !guess(frame, *led_on)) {
        for (frame, led_on) in judged.iter_mut().zip(led_on) {
            if guess(frame, led_on) {
                frame.drop_for("guess: found by scanning the stack");
            }
        }
    }
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

/// What a function of the C library calls is its own business.
fn drop_inside_library(judged: &mut [Judged<'_>]) {
    let last = judged.iter().rposition(|frame| frame.library);
    for frame in judged.iter_mut().take(last.unwrap_or(0)) {
        frame.drop_for("library: called by a function of the C library");
    }
}

/// Judges the first of these frames; the others are its callers.
fn by_rules<'f>(frames: &'f [Frame], rust: bool, rules: &Rules) -> Option<Judged<'f>> {
    let (frame, callers) = frames.split_first()?;
    let mut judged = Judged {
        frame,
        name: name_of(frame, callers),
        rule: None,
        helper: None,
        library: false,
        system: !in_app(frame.module.as_deref(), frame.function.as_deref()),
    };
    let module = frame.module.as_deref();
    let Some(name) = &judged.name else {
        judged.rule = module
            .is_none()
            .then(|| "nowhere: the address lies in no module".to_owned());
        return Some(judged);
    };
    if rust && name == "main" {
        judged.rule = Some("startup: Rust's wrapper of main".to_owned());
        return Some(judged);
    }
    match rules.matching(name, module) {
        Some((Action::Library, rule)) => (judged.rule, judged.library) = (Some(rule), true),
        Some((Action::Drop, rule)) => judged.rule = Some(rule),
        Some((Action::Helper, rule)) => judged.helper = Some(rule),
        Some((Action::System, _)) => judged.system = true,
        Some((Action::Keep, _)) => judged.system = false,
        None => {}
    }
    Some(judged)
}

/// The normalized name. gcc's debug information calls every lambda `operator()`; the library's
/// function that calls it names it whole among its template arguments.
fn name_of(frame: &Frame, callers: &[Frame]) -> Option<String> {
    let function = frame.function.as_deref()?;
    let caller = callers
        .first()
        .and_then(|caller| caller.function.as_deref());
    let name = match caller.and_then(lambda_among_arguments) {
        Some(lambda) if function == "operator()" => lambda,
        _ => normalize(function),
    };
    Some(name).filter(|name| !name.is_empty())
}

/// Symbolic when the topmost frame that counts has a name, or the program told one; then those
/// without drop out.
pub(super) fn choose_kind(judged: &mut [Judged<'_>], told: bool) -> Kind {
    let first = judged.iter().find(|frame| frame.counts());
    if !told && first.is_none_or(|frame| frame.name.is_none()) {
        return Kind::Offsets;
    }
    for frame in judged.iter_mut().filter(|frame| frame.name.is_none()) {
        frame.drop_for("nameless: no symbol covers it");
    }
    Kind::Symbolic
}

/// Leaves out the frames without names of a panic that says where it was.
pub(super) fn drop_nameless(judged: &mut [Judged<'_>]) {
    for frame in judged.iter_mut().filter(|frame| frame.name.is_none()) {
        frame.drop_for("nameless: the panic says where it was");
    }
}

/// Where the stack overflowed is chance, and so is what the recursion began with: only the
/// functions that call each other count, beginning with the one whose name comes first.
pub(super) fn keep_recursion(judged: &mut [Judged<'_>], kind: Kind) {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for frame in judged
        .iter()
        .filter(|frame| frame.counts())
        .take(RECURSION_MAX)
    {
        let times = times.entry(frame.key(kind)).or_default();
        *times = times.saturating_add(1);
    }
    times.retain(|_, times| *times > 2);
    let Some(first) = times.keys().next().cloned() else {
        return;
    };
    let mut begun = false;
    for frame in judged.iter_mut().filter(|frame| frame.counts()) {
        let key = frame.key(kind);
        begun |= key == first;
        if !times.contains_key(&key) {
            frame.drop_for("overflow: not part of the recursion");
        } else if !begun {
            frame.drop_for("overflow: where in the recursion the stack ended is chance");
        }
    }
}

/// Recursion of any depth counts once, and only the first frames count.
pub(super) fn keep_first_of_each(judged: &mut [Judged<'_>], kind: Kind, most: usize) {
    let mut seen: Vec<String> = Vec::new();
    for frame in judged.iter_mut().filter(|frame| frame.counts()) {
        let key = frame.key(kind);
        if seen.contains(&key) {
            frame.drop_for("recursion: counted above");
        } else if seen.len() >= most {
            frame.drop_for(format!("depth: only the first {most} count"));
        } else {
            seen.push(key);
        }
    }
}
