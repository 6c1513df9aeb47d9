//! Makes the signature of what counts.

use super::judge::{
    Judged, Kind, MAX_KEPT, MAX_NAMELESS_WAY, choose_kind, drop_nameless, judge,
    keep_first_of_each, keep_recursion,
};
use super::message::{asserting_function, spoken};
use super::rules::{Rules, file_name};
use crate::report::{Cause, Frame, Report, Signature, SignatureFrame};
use sha2::{Digest, Sha256};

/// The version of algorithm and rules. The rule files are part of it.
pub const SIGNATURE_VERSION: u32 = 3;

/// So few frames of system libraries, with none of the program's own, are no bug's alone.
const FOREIGN: usize = 2;

/// How many frames the title names.
const TITLE_FRAMES: usize = 3;

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
pub fn sign(frames: &[Frame], cause: &Cause, facts: &SignFacts<'_>, rules: &Rules) -> Signature {
    let mut judged = judge(frames, facts.handler_frames, rules);
    let told = asserting_function(cause);
    let kind = choose_kind(&mut judged, told.is_some());
    if cause.kind == "stack-overflow" {
        keep_recursion(&mut judged, kind);
    }
    let place = place_told(cause, &judged, facts);
    let nameless_place = place.clone().filter(|_| kind == Kind::Offsets);
    if nameless_place.is_some() {
        drop_nameless(&mut judged);
    }
    let most = match (kind, class(&cause.kind)) {
        (Kind::Offsets, "abort") => MAX_NAMELESS_WAY,
        _ => MAX_KEPT,
    };
    keep_first_of_each(&mut judged, kind, most);
    let mut counting = judged.iter().filter(|frame| frame.counts());
    let nothing_own = counting.clone().count() <= FOREIGN && counting.all(|frame| frame.system);
    let mut frames: Vec<SignatureFrame> = judged
        .into_iter()
        .map(|frame| frame.explained(kind))
        .collect();
    if let (true, Some(program)) = (nothing_own, facts.executable) {
        of_program(&mut frames, file_name(program));
    }
    if let Some(told) = told {
        begin_with(&mut frames, told, None);
    }
    if let (Some(key), Some(place)) = (nameless_place, &cause.place) {
        begin_with(&mut frames, place.clone(), Some(key));
    }
    let kept: Vec<&SignatureFrame> = frames.iter().filter(|frame| frame.kept).collect();
    let kind = if kept.is_empty() { Kind::Facts } else { kind };
    // What a helper panics for is its caller's doing, wherever the helper says that it was.
    let by_helper = kept.first().is_some_and(|frame| frame.helper.is_some());
    let class = class_of(cause);
    Signature {
        version: SIGNATURE_VERSION,
        rules: rules.digest().to_owned(),
        kind: kind.as_str().to_owned(),
        title: title(&kept, kind, facts),
        hash: hash(&identity(&kept, kind, facts), kind, &class),
        class,
        handler_frames: facts.handler_frames,
        place: place.filter(|_| kind == Kind::Symbolic && !by_helper),
        frames,
    }
}

/// Where a panic says that it was, with the program's name: every program has a `src/main.rs`.
fn place_told(cause: &Cause, judged: &[Judged<'_>], facts: &SignFacts<'_>) -> Option<String> {
    let place = cause.place.as_deref()?;
    let counts = judged.iter().find(|frame| frame.counts());
    let module = counts.and_then(|judged| judged.frame.module.as_deref());
    Some(format!(
        "{place} in {}",
        file_name(module.or(facts.executable)?)
    ))
}

/// Lets frames of system libraries count for one program only: every program's `abort()` is the
/// same place of libc, and without a frame of its own nothing else tells two programs apart.
fn of_program(frames: &mut [SignatureFrame], program: &str) {
    for frame in frames.iter_mut().filter(|frame| frame.kept) {
        frame.key = Some(format!("{} in {program}", frame.key()));
    }
}

/// Puts the function first that the program itself says has failed: it may have been inlined, or
/// have no symbol.
fn begin_with(frames: &mut Vec<SignatureFrame>, function: String, key: Option<String>) {
    let first = frames.iter().position(|frame| frame.kept).unwrap_or(0);
    if frames
        .get(first)
        .is_some_and(|frame| frame.function == function)
    {
        return;
    }
    let told = SignatureFrame {
        function,
        key,
        kept: true,
        ..SignatureFrame::default()
    };
    frames.insert(first, told);
}

/// The signature of a report that is there already, by other rules or a later version of ours.
/// Equal to what a new analysis would sign that finds the same frames.
pub fn sign_again(report: &Report, rules: &Rules) -> Signature {
    let frames = report
        .threads
        .first()
        .map_or(&[][..], |thread| &thread.frames);
    let facts = SignFacts {
        executable: report.process.executable.as_deref(),
        signal: &report.process.signal.name,
        handler_frames: report.signature.handler_frames,
    };
    sign(frames, &report.cause, &facts, rules)
}

/// Where it happened, for a title: the topmost frame that counts. `None` when none does.
pub fn place(frames: &[Frame]) -> Option<String> {
    let judged = judge(frames, 0, Rules::built_in());
    let first = judged.iter().find(|frame| frame.counts())?;
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
        | "misaligned-access"
        | "heap-corruption"
        | "stack-smashing"
        | "pure-virtual-call"
        | "illegal-instruction" => "memory",
        other => other,
    }
}

/// The class with the words that are the bug's own: two assertions in one function are two bugs.
fn class_of(cause: &Cause) -> String {
    let words = spoken(cause);
    let class = class(&cause.kind);
    if words.is_empty() {
        class.to_owned()
    } else {
        format!("{class}: {words}")
    }
}

fn identity(kept: &[&SignatureFrame], kind: Kind, facts: &SignFacts<'_>) -> Vec<String> {
    match kind {
        Kind::Facts => vec![
            facts.executable.unwrap_or_default().to_owned(),
            facts.signal.to_owned(),
        ],
        // A helper is compared otherwise than the same function that is none.
        _ => kept
            .iter()
            .map(|frame| match frame.helper {
                Some(_) => format!("helper {}", frame.key()),
                None => frame.key().to_owned(),
            })
            .collect(),
    }
}

fn title(kept: &[&SignatureFrame], kind: Kind, facts: &SignFacts<'_>) -> String {
    if kind == Kind::Facts {
        let executable = facts.executable.map_or("an unknown program", file_name);
        return format!("{} in {executable}", facts.signal);
    }
    let labels: Vec<String> = kept
        .iter()
        .take(TITLE_FRAMES)
        .map(|frame| frame.function.clone())
        .collect();
    labels.join(" | ")
}

fn hash(identity: &[String], kind: Kind, class: &str) -> String {
    let mut hasher = Sha256::new();
    let mut add = |part: &str| {
        // Length first, so that no two lists of parts read alike.
        hasher.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(part.as_bytes());
    };
    add(kind.as_str());
    add(class);
    for part in identity {
        add(part);
    }
    format!("{:x}", hasher.finalize())
}
