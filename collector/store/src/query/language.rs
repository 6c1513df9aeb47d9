//! Reads the query language, and says where a wrong query is wrong.
//!
//! `field:value` and `-field:value`; a value may be quoted (`"two words"`, with `\"` and `\\`);
//! `*` outside quotes matches anything. Different fields must all match; of one field any may
//! (as Docker's filters), where each label key counts as a field of its own. Words without a
//! field match anywhere in title, command, container and image, all of them.

use super::nearest::nearest;
use super::pattern::{LONGEST, Pattern};
use super::time;
use crate::store::now_ms;
use crate::types::DumpStatus;

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

/// What a condition asks of a dump.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Test {
    /// A field that holds text.
    Text(Field, Pattern),
    /// A label is there, with a value when one is given.
    Label(String, Option<Pattern>),
    /// A script found a property, with a value when one is given.
    Property(String, Option<Pattern>),
    SignalNumber(i64),
    Pid(i64),
    /// Real user id on the host.
    Uid(i64),
    /// How far the container's identity can be relied on.
    Confidence(&'static str),
    Status(DumpStatus),
    /// What is kept of the memory now.
    Kept(&'static str),
    Pinned(bool),
    /// Crashed at or after, milliseconds.
    Since(i64),
    /// Crashed at or before, milliseconds.
    Until(i64),
    /// A bare word.
    Word(Pattern),
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
    Cause,
    Function,
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
}

/// Every field name, for suggestions.
const FIELDS: [&str; 43] = [
    "property",
    "owner",
    "hostname",
    "confidence",
    "runtime_namespace",
    "node",
    "machine",
    "boot",
    "kernel",
    "arch",
    "cpu",
    "uid",
    "image_digest",
    "namespace",
    "pod",
    "pod_uid",
    "pod_container",
    "workload",
    "compose_project",
    "compose_service",
    "id",
    "group",
    "container",
    "name",
    "image",
    "image_id",
    "label",
    "host",
    "signal",
    "exe",
    "comm",
    "cause",
    "function",
    "frame",
    "status",
    "kept",
    "pinned",
    "runtime",
    "unit",
    "pid",
    "since",
    "until",
    "ancestor",
];

/// How far an identity can be relied on.
const CONFIDENCE: [&str; 3] = ["confirmed", "claimed-by-user", "claimed"];

/// What can be kept of the memory.
const KEPT: [&str; 4] = ["full", "lean", "partial", "none"];

/// Says where a query is wrong and what it could have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// One line for the person who wrote the query.
    pub message: String,
    /// Byte offset in the query text.
    pub offset: usize,
}

impl Query {
    /// Parses the query language. Fields: id, group, container, name (alias of container), image,
    /// `image_id`, label (`label:k` or `label:k=v`), host, signal, exe, comm, cause, function
    /// (alias frame), status, kept, pinned, runtime, unit, pid, uid, owner, hostname, confidence,
    /// `runtime_namespace`, machine, boot, kernel, arch, cpu, and those of Kubernetes and Compose,
    /// since, until; `-field:value` negates; `*` is a wildcard;
    /// different fields AND, same field OR (as Docker's filters); bare words match anywhere in title,
    /// command, container, image.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        Self::parse_at(text, now_ms())
    }

    /// The same with the clock given, for times such as `24h`.
    pub fn parse_at(text: &str, now_ms: i64) -> Result<Self, QueryError> {
        if text.len() > LONGEST_QUERY {
            return Err(error(
                0,
                format!("the query is longer than {LONGEST_QUERY} bytes"),
            ));
        }
        let mut query = Self::default();
        for word in split(text)? {
            query.push(word.clause(now_ms)?, word.offset)?;
        }
        Ok(query)
    }

    /// The same from Docker's `--filter key=value` pairs (`key!=value` negates), merged into
    /// this query.
    pub fn with_filter(mut self, key_and_value: &str) -> Result<Self, QueryError> {
        let Some((key, value)) = key_and_value.split_once('=') else {
            return Err(error(
                0,
                format!(
                    "invalid filter \"{}\": key=value expected",
                    brief(key_and_value)
                ),
            ));
        };
        let (key, negated) = key
            .strip_suffix('!')
            .map_or((key, false), |key| (key, true));
        let pieces = value.split('*').map(str::to_owned).collect();
        let word = Word {
            offset: 0,
            negated,
            field: Some(key.trim().to_owned()),
            value: Value { pieces },
        };
        self.push(word.clause(now_ms())?, 0)?;
        Ok(self)
    }

    /// Whether its answer for a crash changes with what becomes of the crash later.
    pub(crate) fn is_passing(&self) -> bool {
        self.clauses.iter().any(|clause| {
            matches!(
                clause.test,
                Test::Text(Field::Group, _)
                    | Test::Property(..)
                    | Test::Status(_)
                    | Test::Kept(_)
                    | Test::Pinned(_)
            )
        })
    }

    fn push(&mut self, clause: Clause, offset: usize) -> Result<(), QueryError> {
        if self.clauses.len() >= MOST_CLAUSES {
            return Err(error(
                offset,
                format!("more than {MOST_CLAUSES} conditions"),
            ));
        }
        self.clauses.push(clause);
        Ok(())
    }
}

fn error(offset: usize, message: String) -> QueryError {
    QueryError { message, offset }
}

/// What a message repeats of something typed.
fn brief(text: &str) -> String {
    aground_helper::text::escape_bytes(text.as_bytes(), 60)
}

/// One word of a query, as written.
struct Word {
    offset: usize,
    negated: bool,
    field: Option<String>,
    value: Value,
}

/// Literal pieces between wildcards.
struct Value {
    pieces: Vec<String>,
}

impl Value {
    /// As typed, for fields that know no wildcard.
    fn text(&self) -> String {
        self.pieces.join("*")
    }
}

/// Splits a query into words at white space outside quotes.
fn split(text: &str) -> Result<Vec<Word>, QueryError> {
    let mut words = Vec::new();
    let mut rest = text.char_indices().peekable();
    loop {
        while rest.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some(&(offset, _)) = rest.peek() else {
            return Ok(words);
        };
        words.push(read_word(offset, &mut rest)?);
    }
}

type Characters<'a> = std::iter::Peekable<std::str::CharIndices<'a>>;

fn read_word(offset: usize, rest: &mut Characters<'_>) -> Result<Word, QueryError> {
    let mut word = Word {
        offset,
        negated: false,
        field: None,
        value: Value { pieces: vec![] },
    };
    let mut piece = String::new();
    let mut quoted_before = false;
    let mut first = true;
    while let Some((at, character)) = rest.next_if(|(_, c)| !c.is_whitespace()) {
        match character {
            '-' if first && rest.peek().is_some_and(|(_, next)| !next.is_whitespace()) => {
                word.negated = true;
            }
            '"' => {
                quoted_before = true;
                read_quoted(at, rest, &mut piece)?;
            }
            ':' if word.field.is_none() && !quoted_before && word.value.pieces.is_empty() => {
                word.field = Some(std::mem::take(&mut piece));
            }
            '*' => word.value.pieces.push(std::mem::take(&mut piece)),
            other => piece.push(other),
        }
        first = false;
    }
    word.value.pieces.push(piece);
    Ok(word)
}

/// Reads up to the closing quote.
fn read_quoted(
    start: usize,
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
    Err(error(start, "a quote is not closed".to_owned()))
}

impl Word {
    fn clause(&self, now_ms: i64) -> Result<Clause, QueryError> {
        let test = match &self.field {
            Some(field) => self.field_test(field, now_ms)?,
            None => Test::Word(self.pattern()?),
        };
        Ok(Clause {
            negated: self.negated,
            test,
        })
    }

    fn field_test(&self, field: &str, now_ms: i64) -> Result<Test, QueryError> {
        if self.value.pieces.iter().all(String::is_empty) && self.value.pieces.len() == 1 {
            return Err(self.error(format!("{} has no value", brief(field))));
        }
        let text_field = match field {
            "id" => Field::Id,
            "group" => Field::Group,
            "container" | "name" => Field::Container,
            "image" | "ancestor" => Field::Image,
            "image_id" => Field::ImageId,
            "host" | "node" => Field::Host,
            "hostname" => Field::Hostname,
            "owner" => Field::Owner,
            "runtime_namespace" => Field::RuntimeNamespace,
            "machine" => Field::Machine,
            "boot" => Field::Boot,
            "kernel" => Field::Kernel,
            "arch" => Field::Arch,
            "cpu" => Field::Cpu,
            "confidence" => {
                return self.one_of("confidence", CONFIDENCE).map(Test::Confidence);
            }
            "uid" => return self.number("uid").map(Test::Uid),
            "signal" => return self.signal(),
            "exe" => Field::Executable,
            "comm" => Field::Name,
            "cause" => Field::Cause,
            "function" | "frame" => Field::Function,
            "runtime" => Field::Runtime,
            "unit" => Field::Unit,
            "image_digest" => Field::ImageDigest,
            "namespace" => Field::Namespace,
            "pod" => Field::Pod,
            "pod_uid" => Field::PodUid,
            "pod_container" => Field::PodContainer,
            "workload" => Field::Workload,
            "compose_project" => Field::ComposeProject,
            "compose_service" => Field::ComposeService,
            "label" => return self.label(),
            "property" => {
                return self.label().map(|test| match test {
                    Test::Label(key, value) => Test::Property(key, value),
                    other => other,
                });
            }
            "status" => return self.status(),
            "kept" => return self.one_of("kept", KEPT).map(Test::Kept),
            "pinned" => {
                let answer = self.one_of("pinned", ["yes", "no", "true", "false"])?;
                return Ok(Test::Pinned(matches!(answer, "yes" | "true")));
            }
            "pid" => return self.number("pid").map(Test::Pid),
            "since" => return self.time(now_ms).map(Test::Since),
            "until" => return self.time(now_ms).map(Test::Until),
            unknown => return Err(self.unknown_field(unknown)),
        };
        Ok(Test::Text(text_field, self.pattern()?))
    }

    fn pattern(&self) -> Result<Pattern, QueryError> {
        let pattern = Pattern::new(&self.value.pieces);
        let searched = self.field.is_none() || pattern.literal().is_none();
        if searched && pattern.len() > LONGEST {
            return Err(self.error(format!("a pattern is longer than {LONGEST} bytes")));
        }
        Ok(pattern)
    }

    /// `SIGSEGV`, `segv` and `11` are the same.
    fn signal(&self) -> Result<Test, QueryError> {
        if let Ok(number) = self.value.text().parse() {
            return Ok(Test::SignalNumber(number));
        }
        let upper = self.pattern()?.map(str::to_ascii_uppercase);
        let named = upper.literal().is_some_and(|name| !name.starts_with("SIG"));
        let pattern = if named {
            upper.map(|name| format!("SIG{name}"))
        } else {
            upper
        };
        Ok(Test::Text(Field::Signal, pattern))
    }

    fn label(&self) -> Result<Test, QueryError> {
        let key_end = self
            .value
            .pieces
            .first()
            .and_then(|first| first.split_once('='));
        let Some((key, value)) = key_end else {
            return match self.value.pieces.as_slice() {
                [key] => Ok(Test::Label(key.clone(), None)),
                _ => Err(self.error(
                    "a label's key knows no wildcard: label:key or label:key=value*".to_owned(),
                )),
            };
        };
        let pieces = std::iter::once(value.to_owned())
            .chain(self.value.pieces.iter().skip(1).cloned())
            .collect();
        let word = Word {
            value: Value { pieces },
            field: self.field.clone(),
            ..*self
        };
        Ok(Test::Label(key.to_owned(), Some(word.pattern()?)))
    }

    fn status(&self) -> Result<Test, QueryError> {
        let known = [
            DumpStatus::Pending,
            DumpStatus::Analyzing,
            DumpStatus::Analyzed,
            DumpStatus::Failed,
        ];
        let typed = self.value.text();
        let found = known.into_iter().find(|status| status.as_str() == typed);
        found.map(Test::Status).ok_or_else(|| {
            self.error(format!(
                "unknown status \"{}\": one of pending, analyzing, analyzed, failed",
                brief(&typed)
            ))
        })
    }

    fn one_of<const N: usize>(
        &self,
        field: &str,
        known: [&'static str; N],
    ) -> Result<&'static str, QueryError> {
        let typed = self.value.text();
        let found = known.into_iter().find(|word| *word == typed);
        found.ok_or_else(|| {
            let known = known.join(", ");
            self.error(format!(
                "{field} is one of {known}, not \"{}\"",
                brief(&typed)
            ))
        })
    }

    fn number(&self, what: &str) -> Result<i64, QueryError> {
        let typed = self.value.text();
        typed
            .parse()
            .map_err(|_| self.error(format!("{what} is not a number: \"{}\"", brief(&typed))))
    }

    fn time(&self, now_ms: i64) -> Result<i64, QueryError> {
        let typed = self.value.text();
        time::parse(&typed, now_ms).ok_or_else(|| {
            let hint = "a duration (24h, 10m, 7d), a time (2026-11-20T10:05) or Unix seconds";
            self.error(format!(
                "not a time: \"{}\": expected {hint}",
                brief(&typed)
            ))
        })
    }

    fn unknown_field(&self, typed: &str) -> QueryError {
        let hint = match nearest(&typed.to_ascii_lowercase(), FIELDS) {
            Some(field) => format!("did you mean {field}?"),
            None => "put the word in quotes to search for it as text".to_owned(),
        };
        self.error(format!("unknown field \"{}\": {hint}", brief(typed)))
    }

    fn error(&self, message: String) -> QueryError {
        error(self.offset, message)
    }
}

#[cfg(test)]
mod tests;
