//! Reads texts out of a dead process: bounded, and only what is text.

use crate::scene::Scene;

/// The longest text taken, bytes.
const MAX: usize = 4096;
/// The longest title, characters.
const MAX_TITLE: usize = 240;

/// The NUL-terminated text at an address; `None` when it is not there, not text, or has no end.
pub(crate) fn c_string(scene: &dyn Scene, address: u64) -> Option<String> {
    let mut bytes = Vec::new();
    let mut at = address;
    while bytes.len() < MAX {
        // In steps that end at a page's end: the next page may be absent.
        let step = usize::try_from(4096_u64.checked_sub(at % 4096)?)
            .ok()?
            .min(256);
        let mut piece = vec![0; step];
        if !scene.read(at, &mut piece) {
            return None;
        }
        if let Some(end) = piece.iter().position(|byte| *byte == 0) {
            bytes.extend_from_slice(piece.get(..end)?);
            return is_text(&bytes).map(str::to_owned);
        }
        bytes.extend_from_slice(&piece);
        at = at.checked_add(u64::try_from(step).ok()?)?;
    }
    None
}

/// `length` bytes at an address, when they are text.
pub(crate) fn string(scene: &dyn Scene, address: u64, length: u64) -> Option<String> {
    let length = usize::try_from(length)
        .ok()
        .filter(|length| (1..=MAX).contains(length))?;
    let mut bytes = vec![0; length];
    if !scene.read(address, &mut bytes) {
        return None;
    }
    is_text(&bytes).map(str::to_owned)
}

/// Whether bytes are what a program would print: UTF-8, not empty, no control characters but
/// line ends and tabs.
pub(crate) fn is_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    let printable = text
        .chars()
        .all(|c| !c.is_control() || c == '\n' || c == '\t');
    (printable && !text.trim().is_empty()).then_some(text)
}

/// A text for a title: one line, bounded.
pub(super) fn one_line(text: &str) -> String {
    let flat: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if flat.chars().count() <= MAX_TITLE {
        return flat;
    }
    flat.chars()
        .take(MAX_TITLE.saturating_sub(1))
        .chain(['…'])
        .collect()
}
