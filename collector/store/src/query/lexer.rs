//! Splits a query into words and knows the place of each.

use super::language::QueryError;
use std::ops::Range;

/// One word of a query, as written.
pub(super) struct Word {
    pub(super) negated: bool,
    pub(super) field: Option<String>,
    pub(super) value: Value,
    /// Byte offsets in the query: of the word without its `-`, of the value, of the end.
    start: usize,
    value_at: usize,
    end: usize,
}

/// Literal pieces between wildcards.
#[derive(Clone)]
pub(super) struct Value {
    pub(super) pieces: Vec<String>,
    /// Whether it ends with a closing quote.
    pub(super) quoted: bool,
}

impl Value {
    /// As typed, for fields that know no wildcard.
    pub(super) fn text(&self) -> String {
        self.pieces.join("*")
    }
}

impl Word {
    /// The word that a `--filter` is, which has one place as a whole.
    pub(super) fn of_filter(field: &str, value: &str, negated: bool, length: usize) -> Self {
        let pieces = value.split('*').map(str::to_owned).collect();
        Self {
            negated,
            field: Some(field.to_owned()),
            value: Value {
                pieces,
                quoted: false,
            },
            start: 0,
            value_at: length - value.len(),
            end: length,
        }
    }

    /// Where the word is.
    pub(super) fn place(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Where its field is.
    pub(super) fn field_place(&self) -> Range<usize> {
        let length = self.field.as_ref().map_or(0, String::len);
        self.start..(self.start + length).min(self.end)
    }

    /// Where its value is.
    pub(super) fn value_place(&self) -> Range<usize> {
        self.value_at.min(self.end)..self.end
    }
}

/// Splits a query at white space outside quotes.
pub(super) fn split(text: &str) -> Result<Vec<Word>, QueryError> {
    let mut words = Vec::new();
    let mut rest = text.char_indices().peekable();
    loop {
        while rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some(&(offset, _)) = rest.peek() else {
            return Ok(words);
        };
        words.push(read_word(offset, text.len(), &mut rest)?);
    }
}

type Characters<'a> = std::iter::Peekable<std::str::CharIndices<'a>>;

fn read_word(start: usize, length: usize, rest: &mut Characters<'_>) -> Result<Word, QueryError> {
    let mut word = Word {
        negated: false,
        field: None,
        value: Value {
            pieces: vec![],
            quoted: false,
        },
        start,
        value_at: start,
        end: length,
    };
    let mut piece = String::new();
    let mut quoted_before = false;
    let mut first = true;
    while let Some((at, character)) = rest.next_if(|(_, c)| !c.is_whitespace()) {
        match character {
            '-' if first && rest.peek().is_some_and(|(_, next)| !next.is_whitespace()) => {
                word.negated = true;
                (word.start, word.value_at) = (at + 1, at + 1);
            }
            '"' => {
                quoted_before = true;
                read_quoted(at, length, rest, &mut piece)?;
            }
            ':' if word.field.is_none() && !quoted_before && word.value.pieces.is_empty() => {
                word.field = Some(std::mem::take(&mut piece));
                word.value_at = at + 1;
            }
            '*' => word.value.pieces.push(std::mem::take(&mut piece)),
            other => piece.push(other),
        }
        word.value.quoted = character == '"';
        first = false;
    }
    word.value.pieces.push(piece);
    word.end = rest.peek().map_or(length, |(at, _)| *at);
    Ok(word)
}

/// Reads up to the closing quote.
fn read_quoted(
    start: usize,
    length: usize,
    rest: &mut Characters<'_>,
    piece: &mut String,
) -> Result<(), QueryError> {
    while let Some((_, character)) = rest.next() {
        match character {
            '"' => return Ok(()),
            '\\' => piece.extend(
                rest.next_if(|(_, c)| matches!(c, '"' | '\\'))
                    .map_or(Some('\\'), |(_, c)| Some(c)),
            ),
            other => piece.push(other),
        }
    }
    Err(QueryError::at(
        start..length,
        "a quote is not closed".to_owned(),
    ))
}
