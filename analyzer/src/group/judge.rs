//! Decides frame by frame what counts.

use super::normalize;
use super::rules::{Action, Rules, file_name, in_app};
use crate::report::{Frame, SignatureFrame, Trust};
use std::collections::BTreeMap;

/// How many frames make a signature. The first ones tell which bug it is, the others by which way
/// it was reached; those further out say little and are many.
pub const MAX_KEPT: usize = 8;

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
    system: bool,
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
    let mut judged: Vec<Judged<'_>> = frames
        .iter()
        .map(|frame| by_rules(frame, rust, rules))
        .collect();
    drop_around_signals(&mut judged, handler_frames);
    let certain = judged
        .iter()
        .any(|f| f.counts() && f.frame.trust != Trust::Scan);
    for frame in judged
        .iter_mut()
        .filter(|f| certain && f.frame.trust == Trust::Scan)
    {
        frame.drop_for("guess: found by scanning the stack");
    }
    if judged.iter().any(|f| f.counts() && !f.system) {
        for frame in judged.iter_mut().filter(|f| f.system) {
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

fn by_rules<'f>(frame: &'f Frame, rust: bool, rules: &Rules) -> Judged<'f> {
    let name = frame
        .function
        .as_deref()
        .map(normalize)
        .filter(|name| !name.is_empty());
    let mut judged = Judged {
        frame,
        name,
        rule: None,
        helper: None,
        system: !in_app(frame.module.as_deref(), frame.function.as_deref()),
    };
    let module = frame.module.as_deref();
    let Some(name) = &judged.name else {
        judged.rule = module
            .is_none()
            .then(|| "nowhere: the address lies in no module".to_owned());
        return judged;
    };
    if rust && name == "main" {
        judged.rule = Some("startup: Rust's wrapper of main".to_owned());
        return judged;
    }
    match rules.matching(name, module) {
        Some((Action::Drop, rule)) => judged.rule = Some(rule),
        Some((Action::Helper, rule)) => judged.helper = Some(rule),
        Some((Action::System, _)) => judged.system = true,
        Some((Action::Keep, _)) => judged.system = false,
        None => {}
    }
    judged
}

/// Symbolic when the topmost frame that counts has a name; then those without drop out.
pub(super) fn choose_kind(judged: &mut [Judged<'_>]) -> Kind {
    let first = judged.iter().find(|frame| frame.counts());
    if first.is_none_or(|frame| frame.name.is_none()) {
        return Kind::Offsets;
    }
    for frame in judged.iter_mut().filter(|frame| frame.name.is_none()) {
        frame.drop_for("nameless: no symbol covers it");
    }
    Kind::Symbolic
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
pub(super) fn keep_first_of_each(judged: &mut [Judged<'_>], kind: Kind) {
    let mut seen: Vec<String> = Vec::new();
    for frame in judged.iter_mut().filter(|frame| frame.counts()) {
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
