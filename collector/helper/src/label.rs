//! Labels of a container by which those who run it choose. As pod annotations they mean the same.

use crate::redact::Redaction;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

/// `full`, `lean`, `trace` or `record`.
pub const POLICY: &str = "aground.policy";
/// Largest core kept whole, such as `512MiB`.
pub const FULL_MAX: &str = "aground.full_max";
/// Most memory in a lean core.
pub const LEAN_MAX: &str = "aground.lean_max";
/// Longest the process may be held, such as `5s`.
pub const HOLD_MAX: &str = "aground.hold_max";
/// What is kept out of the record, see [`Redaction::asked`].
pub const REDACT: &str = "aground.redact";
/// What its crashes are grouped by in place of the stack; with [`DEFAULT`] in it, beside the stack.
pub const GROUP: &str = "aground.group";
/// Who looks after it: a team, a person.
pub const OWNER: &str = "aground.owner";

/// Stands in a value of [`GROUP`] for what the crash would be grouped by otherwise.
pub const DEFAULT: &str = "{default}";
/// The longest value of [`GROUP`] and [`OWNER`], characters.
const LONGEST: usize = 200;

/// A value of [`GROUP`] or [`OWNER`]: one line of text.
pub fn line(value: &str) -> Result<&str, String> {
    let value = value.trim();
    if value.is_empty() {
        return Err("it is empty".to_owned());
    }
    if value.chars().any(char::is_control) {
        return Err("it has control characters".to_owned());
    }
    if value.chars().count() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    Ok(value)
}

/// The labels of a container, and what was wrong with them.
pub(crate) struct Labels<'a> {
    labels: &'a BTreeMap<String, String>,
    problems: &'a mut Vec<String>,
}

impl<'a> Labels<'a> {
    pub(crate) fn new(labels: &'a BTreeMap<String, String>, problems: &'a mut Vec<String>) -> Self {
        Self { labels, problems }
    }

    /// The value of a label. One that is not understood makes a problem sentence.
    pub(crate) fn value<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let value = self.labels.get(name)?;
        let parsed = value.trim().parse();
        parsed.map_err(|error| self.wrong(name, &error)).ok()
    }

    /// What is to be kept out of the record.
    pub(crate) fn redaction(&mut self, configured: &Redaction) -> Redaction {
        let asked = self.labels.get(REDACT);
        let asked = asked.map(|value| configured.asked(value));
        match asked.transpose() {
            Ok(asked) => asked.unwrap_or_else(|| configured.clone()),
            Err(error) => {
                self.wrong(REDACT, &error);
                configured.clone()
            }
        }
    }

    /// Makes a problem sentence of each label for the service that it will not obey.
    pub(crate) fn check_lines(&mut self) {
        for name in [GROUP, OWNER] {
            if let Some(Err(error)) = self.labels.get(name).map(|value| line(value)) {
                self.wrong(name, &error);
            }
        }
    }

    fn wrong(&mut self, name: &str, error: &dyn Display) {
        self.problems
            .push(format!("the label {name} was not obeyed: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_for_the_service_are_one_line() {
        assert_eq!(line(" payments "), Ok("payments"));
        assert_eq!(
            line("\u{fc}".repeat(LONGEST).as_str()).map(str::len),
            Ok(400)
        );
        for wrong in ["", "  ", "a\nb", "a\u{1b}[31m", &"x".repeat(LONGEST + 1)] {
            assert!(line(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_not_obeyed_is_told() {
        let labels = [(GROUP, ""), (OWNER, "team a"), (POLICY, "everything")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (labels, mut problems) = (BTreeMap::from(labels), vec![]);
        let mut read = Labels::new(&labels, &mut problems);
        read.check_lines();
        assert_eq!(read.value::<crate::record::Policy>(POLICY), None);
        assert_eq!(
            problems,
            [
                "the label aground.group was not obeyed: it is empty",
                "the label aground.policy was not obeyed: \"everything\" is not full, lean, trace or record",
            ]
        );
    }
}
