//! Takes from what a program said the words that are the bug's own.

use crate::report::Cause;

/// The longest message text that counts, characters.
const MAX_MESSAGE: usize = 160;

/// What of the message is the bug's own: the text of an assertion, the words of a panic. Numbers
/// and addresses, quoted data and paths differ from one crash to the next and are folded.
pub(super) fn spoken(cause: &Cause) -> String {
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
