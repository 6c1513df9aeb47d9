//! What each word of a query means, and what a wrong one could have been.

use super::fields::{self, CAUSES, FieldInfo, SIGNALS, Values};
use super::language::{Clause, Field, Number, QueryError, Span, Test, Words, brief};
use super::lexer::Word;
use super::nearest::nearest;
use super::pattern::{LONGEST, Pattern};
use super::ranges;
use super::time;
use crate::types::DumpStatus;

/// The condition that a word is.
pub(super) fn clause(word: &Word, now_ms: i64) -> Result<Clause, QueryError> {
    let test = match &word.field {
        Some(field) => word.field_test(field, now_ms)?,
        None => Test::Words(Words::Any, word.words_pattern()?),
    };
    Ok(Clause {
        negated: word.negated,
        test,
    })
}

impl Word {
    fn field_test(&self, name: &str, now_ms: i64) -> Result<Test, QueryError> {
        let field = fields::field(name).ok_or_else(|| self.unknown_field(name))?;
        if self.value.pieces.iter().all(String::is_empty) && self.value.pieces.len() == 1 {
            let message = format!("{name} has no value");
            return Err(QueryError::at(self.place(), message));
        }
        match field.values {
            Values::Text => self.text_test(field.name),
            Values::Words => Ok(Test::Words(words(field.name), self.words_pattern()?)),
            Values::OneOf(known) => self.one_of(field, known),
            Values::Time => {
                let at = self.time(now_ms)?;
                Ok(if field.name == "since" {
                    Test::Since(at)
                } else {
                    Test::Until(at)
                })
            }
            Values::Number | Values::Size | Values::Duration | Values::TimeRange => {
                let span = self.span(field, now_ms)?;
                Ok(Test::Number(number(field.name), span))
            }
        }
    }

    fn text_test(&self, name: &str) -> Result<Test, QueryError> {
        match name {
            "signal" => return self.signal(),
            "label" => return self.label(),
            "property" => {
                return self.label().map(|test| match test {
                    Test::Label(key, value) => Test::Property(key, value),
                    other => other,
                });
            }
            "cause" => self.known_or_far("cause", CAUSES)?,
            _ => {}
        }
        Ok(Test::Text(text_field(name), self.pattern()?))
    }

    fn pattern(&self) -> Result<Pattern, QueryError> {
        let pattern = Pattern::new(&self.value.pieces).quoted(self.value.quoted);
        let searched = self.field.is_none() || pattern.literal().is_none();
        if searched && pattern.len() > LONGEST {
            return Err(self.wrong(format!("a pattern is longer than {LONGEST} bytes")));
        }
        Ok(pattern)
    }

    /// Words that are looked for: a text is indexed by them alone.
    fn words_pattern(&self) -> Result<Pattern, QueryError> {
        let pattern = self.pattern()?;
        if pattern.words().is_empty() {
            let message = "no letter and no digit to look for: an empty query finds everything";
            return Err(self.wrong(message.to_owned()));
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
        let unknown = pattern.literal().filter(|name| !SIGNALS.contains(name));
        if let Some(near) = unknown.and_then(|name| nearest(name, SIGNALS.iter().copied())) {
            return Err(self.meant("signal", near));
        }
        Ok(Test::Text(Field::Signal, pattern))
    }

    fn label(&self) -> Result<Test, QueryError> {
        let first = self.value.pieces.first();
        let Some((key, value)) = first.and_then(|first| first.split_once('=')) else {
            if let [key] = self.value.pieces.as_slice() {
                return Ok(Test::Label(key.clone(), None));
            }
            let name = self.field.as_deref().unwrap_or("label");
            return Err(self.wrong(format!(
                "a {name}'s key knows no wildcard: {name}:key or {name}:key=value*"
            )));
        };
        let pieces = std::iter::once(value.to_owned())
            .chain(self.value.pieces.iter().skip(1).cloned())
            .collect::<Vec<_>>();
        let pattern = Pattern::new(&pieces);
        if pattern.literal().is_none() && pattern.len() > LONGEST {
            return Err(self.wrong(format!("a pattern is longer than {LONGEST} bytes")));
        }
        Ok(Test::Label(key.to_owned(), Some(pattern)))
    }

    fn one_of(&self, field: &FieldInfo, known: &[&'static str]) -> Result<Test, QueryError> {
        let typed = self.value.text();
        let Some(word) = known.iter().copied().find(|word| *word == typed) else {
            let all = known.join(", ");
            let message = format!("{} is one of {all}, not \"{}\"", field.name, brief(&typed));
            let near = nearest(&typed.to_ascii_lowercase(), known.iter().copied());
            return Err(self.wrong(message).suggesting(near));
        };
        Ok(match field.name {
            "confidence" => Test::Confidence(word),
            "status" => Test::Status(status(word)),
            "kept" => Test::Kept(word),
            "state" => Test::State(word),
            _ => Test::Pinned(matches!(word, "yes" | "true")),
        })
    }

    /// Refuses a value that is nearly one of the usual ones; others may come, and are let through.
    fn known_or_far(&self, field: &str, known: &[&'static str]) -> Result<(), QueryError> {
        let typed = self.value.text();
        if self.value.pieces.len() > 1 || known.contains(&typed.as_str()) {
            return Ok(());
        }
        match nearest(&typed, known.iter().copied()) {
            Some(near) => Err(self.meant(field, near)),
            None => Ok(()),
        }
    }

    fn meant(&self, field: &str, near: &str) -> QueryError {
        let typed = brief(&self.value.text());
        self.wrong(format!("unknown {field} \"{typed}\": did you mean {near}?"))
            .suggesting(Some(near))
    }

    fn span(&self, field: &FieldInfo, now_ms: i64) -> Result<Span, QueryError> {
        let typed = self.value.text();
        ranges::parse(field.values, &typed, now_ms).ok_or_else(|| {
            let expected = ranges::expected(field.values);
            let message = format!(
                "{}: {expected} expected, not \"{}\"",
                field.name,
                brief(&typed)
            );
            self.wrong(message)
        })
    }

    fn time(&self, now_ms: i64) -> Result<i64, QueryError> {
        let typed = self.value.text();
        time::parse(&typed, now_ms).ok_or_else(|| {
            let hint = "a duration (24h, 10m, 7d), a time (2026-11-20T10:05) or Unix seconds";
            self.wrong(format!(
                "not a time: \"{}\": expected {hint}",
                brief(&typed)
            ))
        })
    }

    fn unknown_field(&self, typed: &str) -> QueryError {
        let near = nearest(&typed.to_ascii_lowercase(), fields::names());
        let hint = match near {
            Some(field) => format!("did you mean {field}?"),
            None => "put the word in quotes to search for it as text".to_owned(),
        };
        let message = format!("unknown field \"{}\": {hint}", brief(typed));
        QueryError::at(self.field_place(), message).suggesting(near)
    }

    fn wrong(&self, message: String) -> QueryError {
        QueryError::at(self.value_place(), message)
    }
}

fn words(name: &str) -> Words {
    match name {
        "message" => Words::Message,
        "log" => Words::Log,
        "note" => Words::Note,
        _ => Words::Any,
    }
}

fn number(name: &str) -> Number {
    match name {
        "uid" => Number::Uid,
        "size" => Number::Size,
        "hold" => Number::Hold,
        "crashes" => Number::Crashes,
        "first_seen" => Number::FirstSeen,
        "last_seen" => Number::LastSeen,
        _ => Number::Pid,
    }
}

fn status(word: &str) -> DumpStatus {
    match word {
        "pending" => DumpStatus::Pending,
        "analyzing" => DumpStatus::Analyzing,
        "analyzed" => DumpStatus::Analyzed,
        _ => DumpStatus::Failed,
    }
}

fn text_field(name: &str) -> Field {
    match name {
        "group" => Field::Group,
        "container" => Field::Container,
        "image" => Field::Image,
        "image_id" => Field::ImageId,
        "host" => Field::Host,
        "hostname" => Field::Hostname,
        "owner" => Field::Owner,
        "runtime_namespace" => Field::RuntimeNamespace,
        "machine" => Field::Machine,
        "boot" => Field::Boot,
        "kernel" => Field::Kernel,
        "arch" => Field::Arch,
        "cpu" => Field::Cpu,
        "exe" => Field::Executable,
        "comm" => Field::Name,
        "command" => Field::Command,
        "cause" => Field::Cause,
        "location" => Field::Location,
        "function" => Field::Function,
        "file" => Field::File,
        "module" => Field::Module,
        "build_id" => Field::BuildId,
        "thread" => Field::Thread,
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
        "tag" => Field::Tag,
        "ticket" => Field::Ticket,
        _ => Field::Id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_field_of_the_table_is_another_test() {
        let texts = fields::FIELDS
            .iter()
            .filter(|field| field.values == Values::Text);
        let texts = texts.filter(|field| !matches!(field.name, "label" | "property"));
        let tests: BTreeSet<String> = texts
            .clone()
            .map(|field| {
                format!(
                    "{:?}",
                    text_field(if field.name == "signal" {
                        "id"
                    } else {
                        field.name
                    })
                )
            })
            .collect();
        // `signal` has a test of its own and stands for `id` here.
        assert_eq!(tests.len() + 1, texts.count());
    }
}
