//! What the operator wants kept: `capture.json` in the state directory.
//!
//! The daemon writes it from the `[capture]` section of its configuration, because the helper has
//! no time to look for configuration of its own. The daemon is not root: nothing here may make the
//! helper do more than keep more or less, within [`Settings::bounded`].

use crate::bounded::{open_dir, read_regular_at};
use crate::governor::GovernorSettings;
use crate::layout::CAPTURE;
use crate::policy::Limits;
use crate::record::{Forward, Policy};
use crate::redact::Redaction;
use crate::units::{Bytes, Span};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Largest file read.
const MAX_FILE: usize = 256 * 1024;
/// Longest a process may be held, whatever is asked for.
const MAX_HOLD: Duration = Duration::from_mins(10);
/// Most rules looked at.
const MAX_RULES: usize = 1000;

/// What to keep of which crash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What to keep when no label and no rule says otherwise.
    pub policy: Policy,
    /// Largest core kept whole, before compression.
    pub full_max: Bytes,
    /// Most memory in a lean core, before compression.
    pub lean_max: Bytes,
    /// Longest a process may be held.
    pub hold_max: Span,
    /// Most bytes of debug files that are copied out of a container per crash; 0: none.
    #[serde(skip_serializing_if = "is_default")]
    pub debug_max: Bytes,
    /// What is kept out of the record.
    pub redact: Redaction,
    /// How a crash loop is kept from filling the disk.
    pub governor: GovernorSettings,
    /// Which crashes the handler that was there before gets as well.
    #[serde(skip_serializing_if = "is_default")]
    pub forward: ForwardSettings,
    /// Rules, of which the first that matches counts.
    #[serde(rename = "rule", skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

impl Default for Settings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            policy: Policy::Full,
            full_max: Bytes(limits.full_max),
            lean_max: Bytes(limits.lean_max),
            hold_max: Span(limits.hold_max),
            debug_max: Bytes(0),
            redact: Redaction::default(),
            governor: GovernorSettings::default(),
            forward: ForwardSettings::default(),
            rules: Vec::new(),
        }
    }
}

/// What the handler that was there before gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForwardSettings {
    /// Crashes of processes in no container.
    pub host: Forward,
    /// Crashes in containers.
    pub containers: Forward,
}

/// What is not asked for is not written: a helper of an older version reads the file, too.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What to keep of the crashes it matches. Every condition that is given must hold; patterns may
/// have `*` and `?`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Pattern of the image's reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Pattern of the container's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Pattern of the systemd unit of a process in no container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Pattern of the executable's path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executable: Option<String>,
    /// Patterns of labels' values, by label.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub label: BTreeMap<String, String>,
    /// Real user id on the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<u32>,
    /// Name of the signal, such as `SIGABRT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// What to keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Largest core kept whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_max: Option<Bytes>,
    /// Most memory in a lean core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lean_max: Option<Bytes>,
    /// Longest the process may be held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_max: Option<Span>,
    /// Whether the handler that was there before gets it as well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<Forward>,
}

impl Settings {
    /// Reads the settings beneath `state_dir`. Where there are none, or none that can be used, the
    /// defaults count; the latter makes a problem sentence.
    pub fn load(state_dir: &Path, problems: &mut Vec<String>) -> Self {
        let read = open_dir(state_dir).and_then(|dir| read_regular_at(dir, CAPTURE, MAX_FILE));
        let parsed = read.and_then(|bytes| Ok(serde_json::from_slice::<Self>(&bytes)?));
        match parsed {
            Ok(settings) => settings.bounded(),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    problems.push(format!(
                        "the defaults were used, because {CAPTURE} could not be: {error}"
                    ));
                }
                Self::default()
            }
        }
    }

    /// The same within what no setting may exceed.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.rules.truncate(MAX_RULES);
        let bound = |span: &mut Span| span.0 = span.0.min(MAX_HOLD);
        bound(&mut self.hold_max);
        let of_rules = self.rules.iter_mut();
        of_rules
            .filter_map(|rule| rule.hold_max.as_mut())
            .for_each(bound);
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    fn loaded(text: &[u8]) -> (Settings, Vec<String>) {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join(CAPTURE), text).unwrap();
        let mut problems = Vec::new();
        let settings = Settings::load(state.path(), &mut problems);
        (settings, problems)
    }

    #[test]
    fn what_is_written_is_read() {
        let settings = Settings {
            policy: Policy::Lean,
            hold_max: Span(Duration::from_secs(5)),
            rules: vec![Rule {
                image: Some("shop/*".to_owned()),
                full_max: Some(Bytes(1 << 30)),
                ..Rule::default()
            }],
            ..Settings::default()
        };
        let text = serde_json::to_vec(&settings).unwrap();
        assert_eq!(loaded(&text), (settings, vec![]));
    }

    #[test]
    fn what_cannot_be_used_gives_the_defaults_and_says_so() {
        let long = b" ".repeat(MAX_FILE + 1);
        let hostile: [&[u8]; 5] = [
            b"",
            b"{",
            b"{\"policy\":\"everything\"}",
            b"{\"rule\":7}",
            &long,
        ];
        for text in hostile {
            let (settings, problems) = loaded(text);
            assert_eq!(settings, Settings::default());
            assert_eq!(problems.len(), 1, "{text:?}");
        }
        let mut problems = Vec::new();
        Settings::load(Path::new("/nowhere"), &mut problems);
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let state = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/zero", state.path().join(CAPTURE)).unwrap();
        let mut problems = Vec::new();
        assert_eq!(
            Settings::load(state.path(), &mut problems),
            Settings::default()
        );
        assert_eq!(problems.len(), 1);
    }

    #[test]
    fn nobody_is_held_for_ever() {
        let (settings, _) = loaded(b"{\"hold_max\":\"9w\",\"rule\":[{\"hold_max\":\"9w\"}]}");
        assert_eq!(settings.hold_max.0, MAX_HOLD);
        assert_eq!(settings.rules[0].hold_max, Some(Span(MAX_HOLD)));
    }
}
