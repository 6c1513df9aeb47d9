//! The `[notify]` section: who is told of what changes.

use super::ConfigError;
use crate::outgoing::Address;
use aground_helper::units::Span;
use aground_store::notices::NoticeKind;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Who is told of what changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notify {
    /// Where people reach the pages, such as `https://aground.example`; messages link there.
    pub url: Option<String>,
    /// Who is told.
    pub target: Vec<Target>,
}

/// One that is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Its name, for status and tests.
    pub name: String,
    /// How it is told.
    pub kind: TargetKind,
    /// Where: of webhooks and Slack.
    #[serde(default)]
    pub url: Option<Address>,
    /// What webhooks are signed with: `whsec_` and base64, or any text of at least 16 bytes.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// A file that holds it.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// A program and its arguments, run as the daemon's user and never by a shell.
    #[serde(default)]
    pub command: Vec<String>,
    /// Of what; everything without it.
    #[serde(default)]
    pub on: Vec<NoticeKind>,
    /// The most messages in a minute; the rest wait.
    #[serde(default = "per_minute")]
    pub per_minute: u32,
    /// How long one attempt may take.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// How long to wait after the first failure; twice as long after each other one, at most an
    /// hour.
    #[serde(default = "retry")]
    pub retry: Span,
    /// Attempts before it is given up.
    #[serde(default = "attempts")]
    pub attempts: u32,
}

/// How a target is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// `CloudEvents` by HTTP, signed.
    Webhook,
    /// A line of text, as Slack and what imitates it (Mattermost, Rocket.Chat, Discord's `/slack`)
    /// take it.
    Slack,
    /// A program that reads the event.
    Command,
}

impl TargetKind {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            TargetKind::Webhook => "webhook",
            TargetKind::Slack => "slack",
            TargetKind::Command => "command",
        }
    }
}

/// A text that no log and no page shows.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(set)")
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

fn per_minute() -> u32 {
    20
}

fn timeout() -> Span {
    Span(Duration::from_secs(10))
}

fn retry() -> Span {
    Span(Duration::from_secs(5))
}

fn attempts() -> u32 {
    12
}

impl Target {
    /// Whether it wants to hear of this.
    pub fn wants(&self, kind: NoticeKind) -> bool {
        self.on.is_empty() || self.on.contains(&kind) || kind == NoticeKind::Test
    }

    fn wrong(&self) -> Option<&'static str> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let http = self.kind != TargetKind::Command;
        let signed = self.secret.is_some() != self.secret_file.is_some();
        match self {
            one if one.name.is_empty() || one.name.len() > 64 || !one.name.chars().all(plain) => {
                Some("targets whose names are letters, digits, - _ . (at most 64)")
            }
            one if http && one.url.is_none() => Some("webhooks and Slack with a url"),
            one if http && !one.command.is_empty() => {
                Some("a command only where kind = \"command\"")
            }
            one if !http && one.url.is_some() => Some("no url where kind = \"command\""),
            one if one.kind == TargetKind::Webhook && !signed => {
                Some("webhooks with one of secret and secret_file")
            }
            one if one.kind != TargetKind::Webhook
                && (one.secret.is_some() || one.secret_file.is_some()) =>
            {
                Some("secrets of webhooks alone")
            }
            one if one
                .secret
                .as_ref()
                .is_some_and(|secret| secret.0.len() < 16) =>
            {
                Some("secrets of at least 16 bytes")
            }
            one if !http
                && !one
                    .command
                    .first()
                    .is_some_and(|program| program.starts_with('/')) =>
            {
                Some("commands whose program is an absolute path")
            }
            one if one.per_minute == 0 || one.attempts == 0 || one.timeout.0.is_zero() => {
                Some("per_minute, attempts and timeout of at least 1")
            }
            _ => None,
        }
    }
}

impl Notify {
    /// Says what makes no sense.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let wrong = |expected| {
            Err(ConfigError::Value {
                name: "[[notify.target]]",
                expected,
            })
        };
        let names: BTreeSet<&str> = self.target.iter().map(|one| one.name.as_str()).collect();
        if names.len() < self.target.len() {
            return wrong("targets with names of their own");
        }
        if self
            .url
            .as_ref()
            .is_some_and(|url| url.parse::<Address>().is_err())
        {
            return Err(ConfigError::Value {
                name: "[notify] url",
                expected: "an address such as https://aground.example",
            });
        }
        self.target
            .iter()
            .find_map(Target::wrong)
            .map_or(Ok(()), wrong)
    }
}
