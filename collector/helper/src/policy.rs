//! Decides what to keep of a process's memory, before the first byte of it is read. Pure.
//!
//! Three voices are heard, and the least of them wins: what was asked for ([`Choice`]), what a
//! crash loop or missing rights leave of it ([`Ceiling`]), and what fits the disk.

use crate::glob;
use crate::label::{self, Labels};
use crate::record::{Forward, Policy, Record};
use crate::redact::Redaction;
use crate::settings::{Rule, Settings};
use crate::units::{Bytes, Span};
use std::collections::BTreeMap;
use std::time::Duration;

/// Free space that is never used for a core: the record and the modules of this and of other
/// crashes must still fit.
pub const RESERVE: u64 = 256 << 20;

/// What was asked for, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What to keep.
    pub policy: Policy,
    /// Who asked, for the record: `default`, `rule 2`, `label aground.policy`.
    pub from: String,
    /// How much it may be, and for how long.
    pub limits: Limits,
    /// What is kept out of the record.
    pub redact: Redaction,
    /// Whether the handler that was there before gets the crash as well.
    pub forward: Forward,
}

/// Bounds of one capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest core kept whole, in bytes before compression; larger ones become lean.
    pub full_max: u64,
    /// Most bytes of memory in a lean core, before compression.
    pub lean_max: u64,
    /// Longest the process may be held. What has been read by then is kept as partial.
    pub hold_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            full_max: 2 << 30,
            lean_max: 64 << 20,
            hold_max: Duration::from_secs(30),
        }
    }
}

/// What is asked for: by a label of the container, else by the first rule that matches, else by
/// the defaults; each value for itself. Labels that are not understood make problem sentences.
pub fn choose(settings: &Settings, record: &Record, problems: &mut Vec<String>) -> Choice {
    let rules = settings.rules.iter().enumerate();
    let rule = rules.into_iter().find(|(_, rule)| applies(rule, record));
    let (number, rule) = rule.map_or((0, None), |(index, rule)| {
        (index.saturating_add(1), Some(rule))
    });
    let container = record.container.as_ref();
    let no_labels = BTreeMap::new();
    let labels = container.map_or(&no_labels, |container| &container.labels);
    let mut labels = Labels::new(labels, problems);
    let from_rule = rule.and_then(|rule| rule.policy);
    let (policy, from) = match (labels.value(label::POLICY), from_rule) {
        (Some(policy), _) => (policy, format!("label {}", label::POLICY)),
        (None, Some(policy)) => (policy, format!("rule {number}")),
        (None, None) => (settings.policy, "default".to_owned()),
    };
    let of_rule = |value: fn(&Rule) -> Option<Bytes>| rule.and_then(value);
    let full_max = labels.value(label::FULL_MAX);
    let full_max = full_max.or(of_rule(|rule| rule.full_max));
    let lean_max = labels.value(label::LEAN_MAX);
    let lean_max = lean_max.or(of_rule(|rule| rule.lean_max));
    let hold_max: Option<Span> = labels.value(label::HOLD_MAX);
    // Those who run a container may free it earlier, only the operator may have it held longer.
    let configured = rule
        .and_then(|rule| rule.hold_max)
        .unwrap_or(settings.hold_max);
    let limits = Limits {
        full_max: full_max.unwrap_or(settings.full_max).0,
        lean_max: lean_max.unwrap_or(settings.lean_max).0,
        hold_max: hold_max.map_or(configured, |asked| asked.min(configured)).0,
    };
    let forward = match container {
        Some(_) => settings.forward.containers,
        None => settings.forward.host,
    };
    let redact = labels.redaction(&settings.redact);
    labels.check_lines();
    Choice {
        policy,
        from,
        limits,
        redact,
        forward: rule.and_then(|rule| rule.forward).unwrap_or(forward),
    }
}

/// Whether all conditions of a rule hold. A rule without any matches everything.
fn applies(rule: &Rule, record: &Record) -> bool {
    let container = record.container.as_ref();
    let image = container.and_then(|container| container.image.as_deref());
    let name = container.and_then(|container| container.name.as_deref());
    let labelled = |(name, pattern): (&String, &String)| {
        let value = container.and_then(|container| container.labels.get(name));
        fits(Some(pattern), value.map(String::as_str))
    };
    fits(rule.image.as_ref(), image)
        && fits(rule.container.as_ref(), name)
        && fits(rule.unit.as_ref(), record.unit.as_deref())
        && fits(
            rule.executable.as_ref(),
            record.process.executable.as_deref(),
        )
        && rule.label.iter().all(labelled)
        && rule.user.is_none_or(|user| record.kernel.uid == Some(user))
        && fits(rule.signal.as_ref(), Some(&record.signal.name))
}

fn fits(pattern: Option<&String>, value: Option<&str>) -> bool {
    pattern.is_none_or(|pattern| value.is_some_and(|value| glob::matches(pattern, value)))
}

/// The most that may be kept, whatever was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceiling {
    /// [`Policy::Full`], [`Policy::Lean`] or [`Policy::Record`].
    pub policy: Policy,
    /// Why, a sentence for the record.
    pub reason: String,
}

impl Ceiling {
    /// Nothing stands in the way.
    pub fn none() -> Self {
        Self {
            policy: Policy::Full,
            reason: String::new(),
        }
    }

    /// The lower of two, the first of equals.
    #[must_use]
    pub fn lower(self, other: Self) -> Self {
        if other.policy > self.policy {
            other
        } else {
            self
        }
    }
}

/// What to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Keep the whole core, at most this many bytes on disk.
    Full {
        /// Bytes the stored core may take.
        budget: u64,
    },
    /// Keep a lean core.
    Lean {
        /// Bytes the stored core may take.
        budget: u64,
        /// Why not the whole core, a sentence; `None` when no more was asked for.
        reason: Option<String>,
    },
    /// Keep no memory.
    None {
        /// Why, a sentence for the record.
        reason: String,
    },
}

/// Keeps what was asked for if it is allowed and fits what the disk has free beyond [`RESERVE`].
///
/// A core whose size is not known (`core_size` is `None`: not ELF, or damaged headers) is kept
/// up to the budget. Compression is not counted on: what does not fit raw is not begun.
pub fn decide(choice: &Choice, ceiling: &Ceiling, core_size: Option<u64>, free: u64) -> Decision {
    let budget = free.saturating_sub(RESERVE);
    if choice.policy == Policy::Record {
        return Decision::None {
            reason: format!("no memory is asked for ({})", choice.from),
        };
    }
    if ceiling.policy == Policy::Record {
        return Decision::None {
            reason: ceiling.reason.clone(),
        };
    }
    if budget == 0 {
        return Decision::None {
            reason: format!("{free} bytes of disk are free and {RESERVE} are kept in reserve"),
        };
    }
    let lean = |reason| Decision::Lean { budget, reason };
    if choice.policy != Policy::Full {
        return lean(None);
    }
    if ceiling.policy != Policy::Full {
        return lean(Some(ceiling.reason.clone()));
    }
    let full_max = choice.limits.full_max;
    match core_size {
        Some(size) if size > full_max => lean(Some(format!(
            "the core has {size} bytes, more than the {full_max} that are kept whole"
        ))),
        Some(size) if size > budget => lean(Some(format!(
            "the core has {size} bytes and only {budget} are free beyond the reserve of {RESERVE}"
        ))),
        _ => Decision::Full {
            budget: budget.min(full_max),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Container;

    fn asked(policy: Policy) -> Choice {
        let settings = Settings {
            policy,
            ..Settings::default()
        };
        choose(&settings, &crash(&[]), &mut Vec::new())
    }

    fn crash(labels: &[(&str, &str)]) -> Record {
        let mut record = Record::default();
        record.signal.name = "SIGABRT".to_owned();
        record.kernel.uid = Some(1000);
        record.process.executable = Some("/app/server".to_owned());
        let labels = labels.iter();
        record.container = Some(Container {
            image: Some("shop/api:1.42".to_owned()),
            name: Some("web".to_owned()),
            labels: labels
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Container::default()
        });
        record
    }

    fn kept(decision: &Decision) -> &'static str {
        match decision {
            Decision::Full { .. } => "full",
            Decision::Lean { .. } => "lean",
            Decision::None { .. } => "none",
        }
    }

    #[test]
    fn a_core_is_kept_whole_when_it_fits_beside_the_reserve() {
        let limit = Limits::default().full_max;
        let cases = [
            (Some(1000), RESERVE + 1000, "full"),
            (Some(1001), RESERVE + 1000, "lean"),
            (Some(limit), u64::MAX, "full"),
            (Some(limit + 1), u64::MAX, "lean"),
            (Some(0), RESERVE, "none"),
            (None, RESERVE + 1, "full"),
            (None, 0, "none"),
            (Some(u64::MAX), u64::MAX, "lean"),
        ];
        for (size, free, expected) in cases {
            let decision = decide(&asked(Policy::Full), &Ceiling::none(), size, free);
            assert_eq!(kept(&decision), expected, "{size:?} {free}: {decision:?}");
        }
    }

    #[test]
    fn the_least_of_choice_and_ceiling_wins() {
        let ceiling = |policy| Ceiling {
            policy,
            reason: "a loop".to_owned(),
        };
        for (policy, most, expected) in [
            (Policy::Full, Policy::Full, "full"),
            (Policy::Full, Policy::Lean, "lean"),
            (Policy::Full, Policy::Record, "none"),
            (Policy::Lean, Policy::Full, "lean"),
            (Policy::Trace, Policy::Full, "lean"),
            (Policy::Trace, Policy::Record, "none"),
            (Policy::Record, Policy::Full, "none"),
        ] {
            let decision = decide(&asked(policy), &ceiling(most), Some(1), u64::MAX);
            assert_eq!(kept(&decision), expected, "{policy:?} {most:?}");
        }
    }

    #[test]
    fn labels_win_over_rules_and_rules_over_defaults() {
        let rule = Rule {
            image: Some("shop/*".to_owned()),
            policy: Some(Policy::Lean),
            full_max: Some(Bytes(7)),
            hold_max: Some(Span(Duration::from_secs(9))),
            ..Rule::default()
        };
        let settings = Settings {
            rules: vec![rule],
            ..Settings::default()
        };
        let mut problems = Vec::new();
        let mut chosen = |labels: &[(&str, &str)]| choose(&settings, &crash(labels), &mut problems);
        let by_rule = chosen(&[]);
        assert_eq!(
            (by_rule.policy, by_rule.from.as_str()),
            (Policy::Lean, "rule 1")
        );
        assert_eq!(by_rule.limits.full_max, 7);
        assert_eq!(by_rule.limits.lean_max, Limits::default().lean_max);
        let by_label = chosen(&[
            (label::POLICY, "trace"),
            (label::LEAN_MAX, "1MiB"),
            (label::HOLD_MAX, "10s"),
        ]);
        assert_eq!(
            (by_label.policy, by_label.from.as_str()),
            (Policy::Trace, "label aground.policy")
        );
        assert_eq!(
            (by_label.limits.full_max, by_label.limits.lean_max),
            (7, 1 << 20)
        );
        assert_eq!(
            by_label.limits.hold_max.as_secs(),
            9,
            "a label only shortens"
        );
        assert_eq!(
            chosen(&[(label::HOLD_MAX, "1s")]).limits.hold_max.as_secs(),
            1
        );
        assert_eq!(problems, Vec::<String>::new());
    }

    #[test]
    fn labels_that_are_not_understood_are_named_and_the_default_counts() {
        let labels = [
            (label::POLICY, "everything"),
            (label::FULL_MAX, "big"),
            (label::HOLD_MAX, "soon"),
            (label::REDACT, "<b>"),
        ];
        let mut problems = Vec::new();
        let choice = choose(&Settings::default(), &crash(&labels), &mut problems);
        assert_eq!(choice, asked(Policy::Full));
        assert_eq!(
            problems,
            [
                "the label aground.policy was not obeyed: \"everything\" is not full, lean, trace or record",
                "the label aground.full_max was not obeyed: \"big\" is not a size such as 512MiB or 2GB",
                "the label aground.hold_max was not obeyed: \"soon\" is not a duration such as 30s, 250ms or 7d",
                "the label aground.redact was not obeyed: \"<b>\" is neither secrets, all, none nor names of variables",
            ]
        );
    }

    #[test]
    fn every_condition_of_a_rule_must_hold() {
        let label = |value: &str| BTreeMap::from([("team".to_owned(), value.to_owned())]);
        let rule = Rule::default;
        let cases = [
            (rule(), true),
            (
                Rule {
                    image: Some("shop/*".to_owned()),
                    ..rule()
                },
                true,
            ),
            (
                Rule {
                    image: Some("shop".to_owned()),
                    ..rule()
                },
                false,
            ),
            (
                Rule {
                    container: Some("w?b".to_owned()),
                    ..rule()
                },
                true,
            ),
            (
                Rule {
                    unit: Some("*".to_owned()),
                    ..rule()
                },
                false,
            ),
            (
                Rule {
                    executable: Some("*/server".to_owned()),
                    ..rule()
                },
                true,
            ),
            (
                Rule {
                    user: Some(0),
                    ..rule()
                },
                false,
            ),
            (
                Rule {
                    user: Some(1000),
                    signal: Some("SIGABRT".to_owned()),
                    ..rule()
                },
                true,
            ),
            (
                Rule {
                    user: Some(1000),
                    signal: Some("SIGSEGV".to_owned()),
                    ..rule()
                },
                false,
            ),
            (
                Rule {
                    label: label("a*"),
                    ..rule()
                },
                true,
            ),
            (
                Rule {
                    label: label("b*"),
                    ..rule()
                },
                false,
            ),
        ];
        for (rule, expected) in cases {
            let applies = applies(&rule, &crash(&[("team", "api")]));
            assert_eq!(applies, expected, "{rule:?}");
        }
    }
}
