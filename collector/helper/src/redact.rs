//! Takes secrets out of what is recorded of a process: values of environment variables, and
//! arguments that carry a password.

use crate::glob;
use crate::record::Process;
use serde::{Deserialize, Serialize};

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

/// Which values are kept out of the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redaction {
    /// How much.
    pub mode: RedactionMode,
    /// Further names whose values are secrets: patterns with `*` and `?`, in any case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

/// How much is kept out of the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RedactionMode {
    /// Values that look like secrets, by name or by content.
    #[default]
    Secrets,
    /// Every value of the environment, and every argument but the program's name.
    All,
    /// Nothing is kept out.
    None,
}

impl Redaction {
    /// The redaction a label asks for: `secrets`, `all`, `none`, or further names behind commas,
    /// as in `SHOP_*,PIN`, which are added to those of the configuration.
    pub fn asked(&self, label: &str) -> Result<Self, String> {
        let mode = |mode| {
            Ok(Self {
                mode,
                ..self.clone()
            })
        };
        match label.trim() {
            "secrets" => mode(RedactionMode::Secrets),
            "all" => mode(RedactionMode::All),
            "none" => mode(RedactionMode::None),
            names if !names.is_empty() && names.bytes().all(is_of_names) => {
                let mut redaction = self.clone();
                let more = names.split(',').filter(|name| !name.is_empty());
                redaction.names.extend(more.take(64).map(str::to_owned));
                Ok(redaction)
            }
            other => Err(format!(
                "\"{}\" is neither secrets, all, none nor names of variables",
                other.chars().take(100).collect::<String>()
            )),
        }
    }

    /// Takes the secrets out.
    pub(crate) fn apply(&self, process: &mut Process) {
        if self.mode == RedactionMode::None {
            return;
        }
        for variable in &mut process.environment {
            if let Some((name, value)) = variable.split_once('=')
                && !value.is_empty()
                && self.hides(name, value)
            {
                *variable = format!("{name}={REDACTED}");
            }
        }
        let mut value_follows = false;
        for argument in process.args.iter_mut().skip(1) {
            let hidden = if std::mem::take(&mut value_follows) || self.mode == RedactionMode::All {
                Some(REDACTED.to_owned())
            } else {
                self.argument(argument, &mut value_follows)
            };
            if let Some(hidden) = hidden {
                *argument = hidden;
            }
        }
    }

    /// What to write instead of an argument: `--password=x` and `-Dpassword=x` lose their value,
    /// `--password` lets the next argument lose itself.
    fn argument(&self, argument: &str, value_follows: &mut bool) -> Option<String> {
        match argument.split_once('=') {
            Some((name, value)) => {
                (!value.is_empty() && self.hides(name, value)).then(|| format!("{name}={REDACTED}"))
            }
            None if argument.starts_with("--") => {
                *value_follows = is_password(argument);
                None
            }
            None => has_password(argument).then(|| REDACTED.to_owned()),
        }
    }

    fn hides(&self, name: &str, value: &str) -> bool {
        let upper = name.to_ascii_uppercase();
        let named = || {
            let names = self.names.iter().map(|name| name.to_ascii_uppercase());
            names
                .into_iter()
                .any(|pattern| glob::matches(&pattern, &upper))
        };
        self.mode == RedactionMode::All
            || SECRET_NAMES.iter().any(|part| upper.contains(part))
            || has_password(value)
            || named()
    }
}

/// Letters, digits and what else patterns of variables' names are made of.
fn is_of_names(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_*?.-,".contains(&byte)
}

/// Parts of a variable's name that make its value a secret.
const SECRET_NAMES: [&str; 13] = [
    "PASS",
    "SECRET",
    "TOKEN",
    "KEY",
    "CREDENTIAL",
    "AUTH",
    "COOKIE",
    "PRIVATE",
    "SIGNATURE",
    "DSN",
    "LICENSE",
    "CONNECTION_STRING",
    "SESSION",
];

/// Whether an option's next argument is a secret. Narrower than for variables: `--key-file` and
/// `--author` are followed by what a reader needs.
fn is_password(option: &str) -> bool {
    let lower = option.to_ascii_lowercase();
    ["password", "passwd", "secret", "token", "api-key", "apikey"]
        .iter()
        .any(|word| lower.ends_with(word))
}

/// Whether `value` is an address with a password in it (`scheme://user:password@host`).
fn has_password(value: &str) -> bool {
    value.match_indices("://").any(|(at, _)| {
        let authority = value.get(at.saturating_add(3)..).unwrap_or_default();
        let authority = authority
            .split(['/', '?', '#', ' '])
            .next()
            .unwrap_or_default();
        authority
            .rsplit_once('@')
            .is_some_and(|(user, _)| user.contains(':'))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn applied(
        redaction: &Redaction,
        environment: &[&str],
        args: &[&str],
    ) -> (Vec<String>, Vec<String>) {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let mut process = Process {
            environment: owned(environment),
            args: owned(args),
            ..Process::default()
        };
        redaction.apply(&mut process);
        (process.environment, process.args)
    }

    #[test]
    fn secrets_in_the_environment_are_redacted() {
        let cases = [
            ("PATH=/bin", "PATH=/bin"),
            ("DB_PASSWORD=x", "DB_PASSWORD=[redacted]"),
            (
                "aws_secret_access_key=x",
                "aws_secret_access_key=[redacted]",
            ),
            ("GITHUB_TOKEN=", "GITHUB_TOKEN="),
            (
                "DATABASE_URL=postgres://u:p@h/db",
                "DATABASE_URL=[redacted]",
            ),
            ("URL=http://h/a:b@c", "URL=http://h/a:b@c"),
            ("no equals sign", "no equals sign"),
        ];
        for (variable, expected) in cases {
            let (environment, _) = applied(&Redaction::default(), &[variable], &[]);
            assert_eq!(environment, [expected]);
        }
    }

    #[test]
    fn secrets_in_arguments_are_redacted() {
        let args = [
            "token",
            "--password",
            "x",
            "--password=x",
            "--verbose",
            "-Dapp.secret=x",
            "redis://u:p@h",
            "--port=1",
            "plain",
        ];
        let (_, args) = applied(&Redaction::default(), &[], &args);
        let expected = [
            "token",
            "--password",
            "[redacted]",
            "--password=[redacted]",
            "--verbose",
            "-Dapp.secret=[redacted]",
            "[redacted]",
            "--port=1",
            "plain",
        ];
        assert_eq!(args, expected);
    }

    #[test]
    fn labels_choose_more_and_less() {
        let configured = Redaction {
            names: vec!["house_*".to_owned()],
            ..Redaction::default()
        };
        let environment = ["HOUSE_PIN=1", "SHOP_PIN=2", "PATH=3", "TOKEN=4"];
        let kept = |redaction: &Redaction| {
            let (environment, _) = applied(redaction, &environment, &[]);
            environment
                .iter()
                .filter(|variable| !variable.contains(REDACTED))
                .count()
        };
        assert_eq!(kept(&configured), 2);
        assert_eq!(kept(&configured.asked("SHOP_*,PIN").unwrap()), 1);
        assert_eq!(kept(&configured.asked("all").unwrap()), 0);
        assert_eq!(kept(&configured.asked(" none ").unwrap()), 4);
        let (_, args) = applied(&configured.asked("all").unwrap(), &[], &["sh", "-c", "x"]);
        assert_eq!(args, ["sh", "[redacted]", "[redacted]"]);
        for wrong in ["", "a b", "<script>", "\u{1b}"] {
            assert!(configured.asked(wrong).is_err(), "{wrong:?}");
        }
    }
}
