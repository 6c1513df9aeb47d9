//! Finds what a Rust panic said, and where.
//!
//! `panic!()` builds a `core::panic::Location` in read-only data and, for a formatted message, a
//! `String`; pointers to both are on the stack between `panic_fmt` and `abort`. The layouts are the
//! compiler's own, so a candidate counts only when what it leads to reads like one.

use super::stack_words;
use crate::cause::{is_text, string};
use crate::report::Frame;
use crate::scene::Scene;

/// Longest message or path taken, bytes.
const MAX_TEXT: u64 = 4096;
/// Stack searched where no function of the way from a panic to `abort()` has a name, bytes. The way
/// itself takes about one KiB.
const NAMELESS_WAY: u64 = 4096;

/// A panic.
pub(crate) struct Panic {
    /// The formatted message, when it was found.
    pub(crate) message: Option<String>,
    /// `file:line:column`, when it was found.
    pub(crate) location: Option<String>,
}

/// The panic on the crashed thread's stack.
pub(crate) fn panic(scene: &dyn Scene) -> Option<Panic> {
    let is_machinery = |name: &str| {
        [
            "core::panicking::",
            "std::panicking::",
            "__rustc::rust_",
            "rust_panic",
            "rust_begin_unwind",
        ]
        .iter()
        .any(|start| name.starts_with(start))
            && !name.contains("catch_unwind")
            && !name.contains("::try")
    };
    let frames = scene.frames();
    let last = frames
        .iter()
        .rposition(|frame| frame.function.as_deref().is_some_and(is_machinery));
    let from = scene.register("rsp")?;
    let Some(last) = last else {
        return nameless(scene, from);
    };
    // The caller of the machinery holds what it built for it: its frame is part of the search.
    let to = (last..frames.len())
        .filter_map(|at| scene.frame_register(at.saturating_add(1), "rsp"))
        .find(|sp| *sp > from);
    let to = to.unwrap_or(u64::MAX).saturating_add(512);
    let words: Vec<u64> = stack_words(scene, from, to).map(|(_, word)| word).collect();
    let expected = frames
        .iter()
        .skip(last)
        .find(|frame| frame.in_app && frame.line.is_some());
    let expected = expected.and_then(|frame| Some((frame.file.as_deref()?, frame.line?)));
    Some(Panic {
        message: message(scene, &words).or_else(|| begun(scene, &words)),
        location: location(scene, &words, expected),
    })
}

/// A panic of a stripped program: its functions have no names, but what it hands from one to the
/// next is there. A place that only one word leads to may be left over from an earlier call, one
/// that several lead to is handed on.
fn nameless(scene: &dyn Scene, from: u64) -> Option<Panic> {
    let own = |frame: &&Frame| frame.in_app && !frame.signal_trampoline;
    let stripped = scene.frames().iter().find(own)?.function.is_none();
    let to = from.saturating_add(NAMELESS_WAY);
    let words: Vec<u64> = stack_words(scene, from, to).map(|(_, word)| word).collect();
    let mut ordered = words.clone();
    ordered.sort_unstable();
    let handed_on: Vec<u64> = words
        .iter()
        .copied()
        .filter(|word| {
            let first = ordered.partition_point(|other| other < word);
            ordered.get(first.saturating_add(1)) == Some(word)
        })
        .collect();
    let location = location(scene, &handed_on, None).filter(|_| stripped)?;
    Some(Panic {
        message: message(scene, &words),
        location: Some(location),
    })
}

/// What the panic said: a formatted `String`, or else a text of the program's own.
fn message(scene: &dyn Scene, words: &[u64]) -> Option<String> {
    let formatted = words.windows(3).find_map(|triple| formatted(scene, triple));
    let text = formatted.or_else(|| literal(scene, words))?;
    Some(text.trim().to_owned())
}

/// A `String`: capacity, pointer, length in the order rustc gives them.
fn formatted(scene: &dyn Scene, words: &[u64]) -> Option<String> {
    let [capacity, pointer, length] = words else {
        return None;
    };
    let plausible = length <= capacity && *capacity <= MAX_TEXT && is_writable(scene, *pointer);
    sentence(scene, *pointer, *length).filter(|_| plausible)
}

/// A text that is in the program as it was said. It is on the stack twice: as `&'static str`, and as
/// `fmt::Arguments`, which since Rust 1.93 keep twice the length plus one in their second word
/// (library/core/src/fmt/mod.rs). Only both together tell the length from any other number.
fn literal(scene: &dyn Scene, words: &[u64]) -> Option<String> {
    words.windows(2).find_map(|pair| {
        let [pointer, length] = pair else {
            return None;
        };
        let arguments = [*pointer, length.checked_mul(2)?.checked_add(1)?];
        let constant = scene
            .mapping_at(*pointer)
            .is_some_and(|mapping| !mapping.writable);
        let twice = constant && words.windows(2).any(|pair| pair == arguments);
        sentence(scene, *pointer, *length).filter(|_| twice)
    })
}

/// What `begin_panic::<&str>` was given, as `panic!("text")` is before the 2021 edition: a constant,
/// and on the stack as often as it was handed on.
fn begun(scene: &dyn Scene, words: &[u64]) -> Option<String> {
    let begins = |frame: &Frame| {
        let name = frame.function.as_deref();
        name.is_some_and(|name| name.starts_with("std::panicking::begin_panic"))
    };
    if !scene.frames().iter().any(begins) {
        return None;
    }
    words.windows(2).find_map(|pair| {
        let [pointer, length] = pair else {
            return None;
        };
        let constant = scene
            .mapping_at(*pointer)
            .is_some_and(|mapping| !mapping.writable);
        let again = || words.windows(2).filter(|other| *other == pair).count() > 1;
        sentence(scene, *pointer, *length).filter(|_| constant && again())
    })
}

/// Text that reads like a message: with a space, as messages have and names do not.
fn sentence(scene: &dyn Scene, address: u64, length: u64) -> Option<String> {
    string(scene, address, length).filter(|text| text.len() >= 4 && text.trim().contains(' '))
}

fn is_writable(scene: &dyn Scene, address: u64) -> bool {
    scene
        .mapping_at(address)
        .is_some_and(|mapping| mapping.writable)
}

/// The location whose file and line are those of the panicking frame, if the symbols know it;
/// otherwise the first one that lies outside Rust's own library.
fn location(scene: &dyn Scene, words: &[u64], expected: Option<(&str, u32)>) -> Option<String> {
    let found = || words.iter().filter_map(|word| location_at(scene, *word));
    let same = |place: &Place| {
        expected.is_some_and(|(file, line)| {
            line == place.line && file.ends_with(place.file.trim_start_matches("./"))
        })
    };
    let own =
        |place: &Place| !place.file.starts_with("/rustc/") && !place.file.starts_with("library/");
    let place = found().find(same).or_else(|| found().find(own))?;
    Some(format!("{}:{}:{}", place.file, place.line, place.column))
}

struct Place {
    file: String,
    line: u32,
    column: u32,
}

/// `core::panic::Location`: a `&str` (since 1.87 with a NUL at its end), a line and a column.
fn location_at(scene: &dyn Scene, address: u64) -> Option<Place> {
    if address < 0x1_0000 || !address.is_multiple_of(8) {
        return None;
    }
    let length = scene
        .read_u64(address.checked_add(8)?)
        .filter(|length| (4..=MAX_TEXT).contains(length))?;
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    if !scene.read(scene.read_u64(address)?, &mut bytes) {
        return None;
    }
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    let file = is_text(bytes)
        .filter(|file| file.strip_suffix(".rs").is_some())?
        .to_owned();
    let line = scene.read_u32(address.checked_add(16)?)?;
    let column = scene.read_u32(address.checked_add(20)?)?;
    let plausible = (1..10_000_000).contains(&line) && (1..100_000).contains(&column);
    plausible.then_some(Place { file, line, column })
}
