//! Turns a value with `*` into what `SQLite` compares with; everything else stands for itself.

use crate::database::column_text;

/// The most bytes of a value with wildcards, and of a bare word: below `SQLite`'s limit of 50,000
/// for patterns, escapes included.
pub(super) const LONGEST: usize = 8 << 10;

/// Pieces of a word that are looked for in texts: far more than anybody types.
const MOST_PHRASES: usize = 20;

/// A value as written: literal pieces with anything between them. One piece means no wildcard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pieces: Vec<String>,
    /// Whether its words are whole ones, as those in quotes are.
    whole_words: bool,
    /// The same with each word that its last one may be the beginning of; empty: not known.
    endings: Vec<String>,
    /// Keys of all names on stacks and of modules that it stands for, where they are few.
    names: Option<Vec<i64>>,
}

impl Pattern {
    /// From pieces between wildcards; never none.
    pub(super) fn new(pieces: &[String]) -> Self {
        Self {
            pieces: pieces.iter().map(|piece| column_text(piece)).collect(),
            whole_words: false,
            endings: vec![],
            names: None,
        }
    }

    /// The same, written in quotes or not.
    pub(super) fn quoted(self, quoted: bool) -> Self {
        Self {
            whole_words: quoted && self.pieces.len() == 1,
            ..self
        }
    }

    /// The whole value, when it has no wildcard.
    pub(crate) fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [whole] => Some(whole),
            _ => None,
        }
    }

    /// What comes before the first wildcard.
    pub(crate) fn beginning(&self) -> &str {
        self.pieces.first().map_or("", String::as_str)
    }

    /// The whole value as a part of a longer GLOB, when it has no wildcard and is not too long.
    pub(crate) fn glob_part(&self) -> Option<String> {
        self.literal()
            .filter(|text| text.len() <= LONGEST)
            .map(glob_literal)
    }

    /// The value with `change` applied to each literal piece.
    pub(crate) fn map(&self, change: impl Fn(&str) -> String) -> Self {
        Self {
            pieces: self.pieces.iter().map(|piece| change(piece)).collect(),
            whole_words: self.whole_words,
            endings: vec![],
            names: None,
        }
    }

    /// As GLOB wants it: exact case, anchored at both ends.
    pub(crate) fn glob(&self) -> String {
        let escaped: Vec<String> = self
            .pieces
            .iter()
            .map(|piece| glob_literal(piece))
            .collect();
        escaped.join("*")
    }

    /// As LIKE wants it with `ESCAPE '\'`: any (ASCII) case, anywhere in the text.
    pub(crate) fn like_anywhere(&self) -> String {
        let escaped: Vec<String> = self
            .pieces
            .iter()
            .map(|piece| like_literal(piece))
            .collect();
        format!("%{}%", escaped.join("%"))
    }

    /// The last word, where it may be the beginning of one: in small letters, as words are kept.
    pub(crate) fn open_word(&self) -> Option<String> {
        let piece = self.literal().filter(|_| !self.whole_words)?;
        let word = last_word(piece).filter(|word| word.is_ascii() && is_beginning(word))?;
        Some(word.to_ascii_lowercase())
    }

    /// Puts the words that the last one is the beginning of in its place.
    pub(crate) fn end_with(&mut self, words: &[String]) {
        let Some(piece) = self.literal() else { return };
        let Some(last) = last_word(piece) else { return };
        let Some((before, after)) = piece.rsplit_once(last) else {
            return;
        };
        self.endings = words
            .iter()
            .map(|word| format!("{before}{word}{after}"))
            .collect();
    }

    /// Keys of the names that it stands for; `None` where they are many, or were not looked up.
    pub(crate) fn names(&self) -> Option<&[i64]> {
        self.names.as_deref()
    }

    /// Notes all names that it stands for.
    pub(crate) fn stand_for(&mut self, names: Vec<i64>) {
        self.names = Some(names);
    }

    /// Its words, and of each whether others that begin so are meant too.
    pub(crate) fn words(&self) -> Vec<(&str, bool)> {
        let mut all = vec![];
        for piece in &self.pieces {
            let words = piece.split(|c: char| !c.is_alphanumeric());
            let words = words.filter(|word| !word.is_empty());
            let before = all.len();
            all.extend(words.map(|word| (word, false)));
            if let Some((word, open)) = all.get_mut(before..).and_then(<[_]>::last_mut) {
                *open = is_beginning(word) && !self.whole_words;
            }
        }
        all
    }

    /// As full text is asked: the words of each piece in their order, the last by its beginning
    /// when that has three letters and is not in quotes. At most [`MOST_PHRASES`], without those that say the same.
    pub(crate) fn phrases(&self) -> Vec<String> {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', " "));
        if !self.endings.is_empty() {
            let any: Vec<String> = self.endings.iter().map(|text| quoted(text)).collect();
            return vec![format!("({})", any.join(" OR "))];
        }
        let mut phrases: Vec<String> = vec![];
        for piece in &self.pieces {
            if !piece.chars().any(char::is_alphanumeric) {
                continue;
            }
            let beginning = last_word(piece).is_some_and(is_beginning);
            let star = if beginning && !self.whole_words {
                " *"
            } else {
                ""
            };
            let phrase = format!("{}{star}", quoted(piece));
            if !phrases.contains(&phrase) && phrases.len() < MOST_PHRASES {
                phrases.push(phrase);
            }
        }
        phrases
    }

    /// Bytes of all pieces.
    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(String::len).sum()
    }
}

fn last_word(piece: &str) -> Option<&str> {
    piece
        .rsplit(|c: char| !c.is_alphanumeric())
        .find(|word| !word.is_empty())
}

/// Whether a word is taken for the beginning of others: numbers are whole.
fn is_beginning(word: &str) -> bool {
    word.chars().filter(|c| c.is_alphabetic()).count() >= 3
}

/// Escapes a text so that GLOB takes it literally: a wildcard alone in a class is itself.
fn glob_literal(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '*' | '?' | '[' => escaped.extend(['[', character, ']']),
            other => escaped.push(other),
        }
    }
    escaped
}

fn like_literal(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_star_of_the_query_is_a_wildcard() {
        let pattern = Pattern::new(&["a?[b".into(), "c*%_\\".into()]);
        assert_eq!(pattern.glob(), "a[?][[]b*c[*]%_\\");
        assert_eq!(pattern.like_anywhere(), "%a?[b%c*\\%\\_\\\\%");
        assert_eq!(pattern.literal(), None);
        assert_eq!(Pattern::new(&["a\0b".into()]).literal(), Some("a\u{2400}b"));
    }
}
