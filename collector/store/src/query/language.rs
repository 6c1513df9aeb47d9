//! What the query language can say, and where a wrong query is wrong.
//!
//! `field:value` and `-field:value`; a value may be quoted (`"two words"`, with `\"` and `\\`);
//! `*` outside quotes matches anything. Different fields must all match; of one field any may
//! (as Docker's filters), where each label key counts as a field of its own. Ranges, times and
//! words must all match. Numbers take `>`, `<`, `>=`, `<=` and `from..to`.

use super::lexer::{self, Word};
use super::pattern::Pattern;
use super::sql::is_of_group;
use super::terms;
use crate::store::now_ms;
use crate::types::DumpStatus;
use std::ops::Range;

/// The most bytes of one query: room for one label value of the size limit of records.
const LONGEST_QUERY: usize = 128 << 10;
/// The most conditions of one query.
const MOST_CLAUSES: usize = 100;

/// A parsed query. The default matches everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Query {
    pub(crate) clauses: Vec<Clause>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Clause {
    pub(crate) negated: bool,
    pub(crate) test: Test,
}

/// What a condition asks of a dump or its group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// A field that holds text.
    Text(Field, Pattern),
    /// A label is there, with a value when one is given.
    Label(String, Option<Pattern>),
    /// A script found a property, with a value when one is given.
    Property(String, Option<Pattern>),
    SignalNumber(i64),
    /// A field that holds a number: bytes, microseconds, milliseconds since the epoch.
    Number(Number, Span),
    /// How far the container's identity can be relied on.
    Confidence(&'static str),
    Status(DumpStatus),
    /// What is kept of the memory now.
    Kept(&'static str),
    Pinned(bool),
    /// The state of the group.
    State(&'static str),
    /// Crashed at or after, milliseconds.
    Since(i64),
    /// Crashed at or before, milliseconds.
    Until(i64),
    /// Words of a text.
    Words(Words, Pattern),
}

/// The fields that hold text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Id,
    Group,
    Container,
    Image,
    ImageId,
    Host,
    Signal,
    Executable,
    Name,
    Command,
    Cause,
    Location,
    Function,
    File,
    Module,
    BuildId,
    Thread,
    Runtime,
    Unit,
    ImageDigest,
    Namespace,
    Pod,
    PodUid,
    PodContainer,
    Workload,
    ComposeProject,
    ComposeService,
    RuntimeNamespace,
    Hostname,
    Owner,
    Machine,
    Boot,
    Kernel,
    Arch,
    Cpu,
    Tag,
    Ticket,
}

/// The fields that hold numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    Pid,
    Uid,
    Size,
    Hold,
    Crashes,
    FirstSeen,
    LastSeen,
}

/// Numbers from and to, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// Which text words are looked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    Any,
    Message,
    Log,
    Note,
}

/// Says where a query is wrong and what it could have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// One line for the person who wrote the query.
    pub message: String,
    /// Byte offset in the query text.
    pub offset: usize,
    /// Bytes from there that are wrong; at least 1 unless the query ends there.
    pub length: usize,
    /// What could have been meant in their place, where something is near.
    pub suggestion: Option<String>,
}

impl Query {
    /// Parses the query language; [`super::FIELDS`] has the fields.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        Self::parse_at(text, now_ms())
    }

    /// The same with the clock given, for times such as `24h`.
    pub fn parse_at(text: &str, now_ms: i64) -> Result<Self, QueryError> {
        if text.len() > LONGEST_QUERY {
            let message = format!("the query is longer than {LONGEST_QUERY} bytes");
            return Err(QueryError::at(LONGEST_QUERY..text.len(), message));
        }
        let mut query = Self::default();
        for word in lexer::split(text)? {
            query.push(terms::clause(&word, now_ms)?, &word.place())?;
        }
        Ok(query)
    }

    /// The same from Docker's `--filter key=value` pairs (`key!=value` negates), merged into
    /// this query.
    pub fn with_filter(mut self, key_and_value: &str) -> Result<Self, QueryError> {
        let Some((key, value)) = key_and_value.split_once('=') else {
            let shown = brief(key_and_value);
            let message = format!("invalid filter \"{shown}\": key=value expected");
            return Err(QueryError::at(0..key_and_value.len(), message));
        };
        let (key, negated) = key
            .strip_suffix('!')
            .map_or((key, false), |key| (key, true));
        let word = Word::of_filter(key.trim(), value, negated, key_and_value.len());
        self.push(terms::clause(&word, now_ms())?, &word.place())?;
        Ok(self)
    }

    /// What both ask at once.
    pub fn and(mut self, other: Self) -> Result<Self, QueryError> {
        for clause in other.clauses {
            self.push(clause, &(0..0))?;
        }
        Ok(self)
    }

    /// Whether its answer for a crash changes with what becomes of the crash or its group later.
    pub(crate) fn is_passing(&self) -> bool {
        self.clauses.iter().any(|clause| match &clause.test {
            Test::Property(..)
            | Test::Status(_)
            | Test::Kept(_)
            | Test::Pinned(_)
            | Test::Text(Field::Owner, _)
            | Test::Number(Number::Size, _) => true,
            Test::Words(words, _) => *words == Words::Note,
            test => is_of_group(test),
        })
    }

    fn push(&mut self, clause: Clause, place: &Range<usize>) -> Result<(), QueryError> {
        if self.clauses.len() >= MOST_CLAUSES {
            let message = format!("more than {MOST_CLAUSES} conditions");
            return Err(QueryError::at(place.clone(), message));
        }
        self.clauses.push(clause);
        Ok(())
    }
}

impl QueryError {
    pub(super) fn at(place: Range<usize>, message: String) -> Self {
        Self {
            message,
            offset: place.start,
            length: place.len().max(1),
            suggestion: None,
        }
    }

    pub(super) fn suggesting(self, suggestion: Option<&str>) -> Self {
        Self {
            suggestion: suggestion.map(str::to_owned),
            ..self
        }
    }
}

/// What a message repeats of something typed.
pub(super) fn brief(text: &str) -> String {
    aground_helper::text::escape_bytes(text.as_bytes(), 60)
}

#[cfg(test)]
mod tests;
