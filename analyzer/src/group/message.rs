//! Takes from what a program said the words that are the bug's own.

use super::normalize;
use crate::report::Cause;

/// The longest message text that counts, characters.
const MAX_MESSAGE: usize = 160;

/// What of the message is the bug's own: the text of an assertion, the words of a panic. Numbers
/// and addresses, quoted data and paths differ from one crash to the next and are folded.
pub(super) fn spoken(cause: &Cause) -> String {
    let message = cause.message.as_deref().unwrap_or_default();
    match cause.kind.as_str() {
        "assertion" => {
            let words = fold_numbers(asserted(message));
            match asserting_function(cause) {
                Some(function) => format!("{function}: {words}"),
                None => words,
            }
        }
        // Whichever of its threads was interrupted, it is this circle.
        "deadlock" => message.to_owned(),
        "panic" => fold_data(&without_quotations(message)),
        _ => String::new(),
    }
}

/// ``prog: file.c:42: func: Assertion `n < 4' failed.`` and
/// `Assertion failed: n < 4 (file.c: func: 42)` → `n < 4`.
fn asserted(message: &str) -> &str {
    if let Some(rest) = message.strip_prefix("Assertion failed: ") {
        return rest
            .rsplit_once(" (")
            .map_or(rest, |(expression, _)| expression);
    }
    let Some((_, rest)) = message.split_once("ssertion `") else {
        return message;
    };
    rest.rsplit_once("' failed")
        .map_or(rest, |(expression, _)| expression)
}

/// The function that failed by the message's own words, which need no symbols: glibc writes
/// ``prog: file.c:42: func: Assertion `…``, musl `Assertion failed: … (file.c: func: 42)`.
pub(super) fn asserting_function(cause: &Cause) -> Option<String> {
    let message = cause
        .message
        .as_deref()
        .filter(|_| cause.kind == "assertion")?;
    let by_glibc = || {
        let (before, _) = message.split_once(": Assertion `")?;
        // C++ writes the whole signature, with colons of its own.
        let (_, function) = before.split_once(": ")?;
        Some(
            function
                .split_once(": ")
                .map_or(function, |(_, function)| function),
        )
    };
    let by_musl = || {
        let (place, _) = message
            .strip_prefix("Assertion failed: ")?
            .rsplit_once(": ")?;
        Some(place.rsplit_once(": ")?.1)
    };
    let function = normalize(by_glibc().or_else(by_musl)?.trim());
    let plain = |c: char| c.is_alphanumeric() || "_:~<>{}()., ".contains(c);
    (!function.is_empty() && function.chars().all(plain)).then_some(function)
}

/// Quoted text in a panic is data, unless it is code: `Option::unwrap()`, `left == right`.
fn without_quotations(message: &str) -> String {
    let code = |part: &str| {
        let plain = part.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
        let known = matches!(part, "None" | "Err" | "Some" | "Ok");
        known
            || plain
                && ["::", " == ", " != "]
                    .iter()
                    .any(|mark| part.contains(mark))
    };
    let outside = message.split('"').step_by(2);
    outside
        .flat_map(|part| part.split('`').enumerate())
        .filter(|(at, part)| at % 2 == 0 || code(part))
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
    folded.split_whitespace().collect::<Vec<_>>().join(" ")
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
