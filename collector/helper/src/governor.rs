//! Keeps a crash loop from filling the disk: the first crashes are kept whole, the next ones lean,
//! the rest as records, and with time there is memory again.
//!
//! A crash is counted at up to three levels, and kept as well as the poorest of them allows:
//!
//! 1. workload, image, executable: what crashes;
//! 2. image, executable: when the workload has no name that lasts (`docker run --rm` in a loop);
//! 3. image or unit: when a program hides behind ever new names of executables.

mod table;

pub(crate) use table::consult;
pub use table::{Slot, TABLE_SLOTS, read_loops, reset};

use crate::policy::Ceiling;
use crate::record::{Policy, Record};
use crate::units::Span;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// How many crashes of one kind keep memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GovernorSettings {
    /// How many are kept whole at once; 0 keeps none whole.
    pub full: u32,
    /// After how long one more is kept whole.
    pub full_every: Span,
    /// How many more are kept lean at once.
    pub lean: u32,
    /// After how long one more is kept lean.
    pub lean_every: Span,
    /// Whether it governs at all.
    pub enabled: bool,
}

impl Default for GovernorSettings {
    fn default() -> Self {
        Self {
            full: 3,
            full_every: Span(Duration::from_hours(1)),
            lean: 10,
            lean_every: Span(Duration::from_mins(10)),
            enabled: true,
        }
    }
}

/// What crashes are counted by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kind {
    /// What runs it: `compose shop/api`, `pod shop/api-7d9f/main`, `container web`, `unit x.service`;
    /// empty where all workloads count together.
    pub workload: String,
    /// The image; empty for processes of the host.
    pub image: String,
    /// The executable; empty where all count together.
    pub executable: String,
}

impl Kind {
    /// A name for it of 16 hexadecimal digits.
    pub fn key(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.workload, &self.image, &self.executable] {
            hash.update(u64::try_from(part.len()).unwrap_or(0).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        crate::capture::elf::hex(digest.get(..8).unwrap_or_default())
    }
}

/// A level a crash is counted at, and how many times the settings' numbers it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Level {
    /// What is counted.
    pub kind: Kind,
    /// Its share: a level above others has room for several of them.
    pub share: u32,
}

/// The levels of a crash, the narrowest first.
pub fn levels(record: &Record) -> Vec<Level> {
    let executable = shortened(
        record
            .process
            .executable
            .as_deref()
            .unwrap_or(&record.process.name),
    );
    let Some(container) = &record.container else {
        let workload = format!("unit {}", record.unit.as_deref().unwrap_or("none"));
        let unit = |executable| Kind {
            workload: shortened(&workload),
            image: String::new(),
            executable,
        };
        return vec![
            Level {
                kind: unit(executable),
                share: 1,
            },
            Level {
                kind: unit(String::new()),
                share: 16,
            },
        ];
    };
    let id_of_image = container.image_id.as_deref().unwrap_or("unknown");
    let image = shortened(container.image.as_deref().unwrap_or(id_of_image));
    let lasting = lasting_workload(container);
    let name = || {
        format!(
            "container {}",
            container.name.as_deref().unwrap_or(&container.id)
        )
    };
    let of = |workload: &str, executable: &str| Kind {
        workload: shortened(workload),
        image: image.clone(),
        executable: executable.to_owned(),
    };
    let mut levels = vec![Level {
        kind: of(&lasting.clone().unwrap_or_else(name), &executable),
        share: 1,
    }];
    let mut add = |workload: &str, executable: &str, share| {
        let kind = of(workload, executable);
        levels.push(Level { kind, share });
    };
    if let Some(workload) = lasting {
        // Its name lasts, so that others of its image need not count with it.
        add(&workload, "", 16);
    } else {
        add("", &executable, 4);
        add("", "", 16);
    }
    levels
}

/// The workload by the labels of those who manage containers, whose names outlive a container.
fn lasting_workload(container: &crate::record::Container) -> Option<String> {
    let label = |name: &str| container.labels.get(name).filter(|value| !value.is_empty());
    let pair = |what: &str, first: &str, second: &str| {
        Some(format!("{what} {}/{}", label(first)?, label(second)?))
    };
    pair(
        "compose",
        "com.docker.compose.project",
        "com.docker.compose.service",
    )
    .or_else(|| {
        let namespace = container.pod_namespace.as_deref()?;
        let pod = container.pod_owner.as_deref();
        let pod = pod.or(container.pod_name.as_deref())?;
        let within = container.pod_container.as_deref().unwrap_or("");
        Some(format!("pod {namespace}/{pod}/{within}"))
    })
}

/// A name short enough for a slot of the table, and without what JSON writes in six bytes.
fn shortened(text: &str) -> String {
    const MOST: usize = 160;
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(4096)
        .collect();
    let text = text.as_str();
    if text.len() <= MOST {
        return text.to_owned();
    }
    let digest = Sha256::digest(text.as_bytes());
    let hash = crate::capture::elf::hex(digest.get(..8).unwrap_or_default());
    let end = text.floor_char_boundary(MOST.saturating_sub(hash.len().saturating_add(3)));
    format!("{}…{hash}", text.get(..end).unwrap_or_default())
}

/// A token bucket, as the time at which it would be full again (the generic cell rate algorithm):
/// one number, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bucket(i64);

impl Bucket {
    /// When the next token is there; not later than `now_ms` when there is one.
    pub fn next_ms(self, tokens: u32, every: Duration, now_ms: i64) -> i64 {
        if tokens == 0 {
            return i64::MAX;
        }
        let mut settled = self;
        settled.settle(tokens, every, now_ms);
        let before_full = millis(every).saturating_mul(i64::from(tokens.saturating_sub(1)));
        settled.0.saturating_sub(before_full)
    }

    /// Brings a bucket of before the clock was set back to where it may be at most.
    fn settle(&mut self, tokens: u32, every: Duration, now_ms: i64) {
        let most = millis(every).saturating_mul(i64::from(tokens));
        self.0 = self.0.min(now_ms.saturating_add(most));
    }

    fn take(&mut self, every: Duration, now_ms: i64) {
        self.0 = self.0.max(now_ms).saturating_add(millis(every));
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX).max(1)
}

/// Tokens and interval for a level that may have `share` times as many.
fn shared(tokens: u32, every: Span, share: u32) -> (u32, Duration) {
    let every = every.0.checked_div(share.max(1));
    (tokens.saturating_mul(share), every.unwrap_or_default())
}

/// Length of one of the six parts crashes are counted in, which together are the last hour.
const PART_MS: i64 = 600_000;

/// What happened to crashes of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Crashes since it is counted.
    pub crashes: u64,
    /// Crashes in each ten minutes of the last hour; the part of now is `last_ms / 600,000 % 6`.
    parts: [u32; 6],
    /// The last crash, milliseconds since the epoch.
    pub last_ms: i64,
    full: Bucket,
    lean: Bucket,
}

impl Tally {
    /// Crashes in the last hour, to ten minutes.
    pub fn last_hour(&self, now_ms: i64) -> u64 {
        let mut tally = self.clone();
        tally.turn(now_ms);
        tally.parts.iter().map(|part| u64::from(*part)).sum()
    }

    /// What the next crash would keep.
    pub fn allows(&self, settings: &GovernorSettings, share: u32, now_ms: i64) -> Policy {
        let is_there = |bucket: Bucket, tokens, every| {
            let (tokens, every) = shared(tokens, every, share);
            bucket.next_ms(tokens, every, now_ms) <= now_ms
        };
        if !settings.enabled || is_there(self.full, settings.full, settings.full_every) {
            Policy::Full
        } else if is_there(self.lean, settings.lean, settings.lean_every) {
            Policy::Lean
        } else {
            Policy::Record
        }
    }

    /// When a crash is kept whole again; `None` when it is now, or never.
    pub fn next_full_ms(
        &self,
        settings: &GovernorSettings,
        share: u32,
        now_ms: i64,
    ) -> Option<i64> {
        let (tokens, every) = shared(settings.full, settings.full_every, share);
        let next = self.full.next_ms(tokens, every, now_ms);
        (next > now_ms && next < i64::MAX).then_some(next)
    }

    /// Counts a crash that keeps `kept`.
    fn count(&mut self, kept: Policy, settings: &GovernorSettings, share: u32, now_ms: i64) {
        self.turn(now_ms);
        self.crashes = self.crashes.saturating_add(1);
        if let Some(part) = self.parts.get_mut(part_of(now_ms)) {
            *part = part.saturating_add(1);
        }
        self.last_ms = now_ms;
        let (full, every_full) = shared(settings.full, settings.full_every, share);
        let (lean, every_lean) = shared(settings.lean, settings.lean_every, share);
        self.full.settle(full, every_full, now_ms);
        self.lean.settle(lean, every_lean, now_ms);
        match kept {
            Policy::Full => self.full.take(every_full, now_ms),
            Policy::Lean | Policy::Trace => self.lean.take(every_lean, now_ms),
            Policy::Record => {}
        }
    }

    /// Forgets the parts of the hour that are over by `now_ms`.
    fn turn(&mut self, now_ms: i64) {
        let (from, to) = (self.last_ms.div_euclid(PART_MS), now_ms.div_euclid(PART_MS));
        let passed = to.saturating_sub(from).clamp(0, 6);
        for step in 1..=passed {
            let at = from.saturating_add(step).rem_euclid(6);
            if let Some(part) = usize::try_from(at)
                .ok()
                .and_then(|at| self.parts.get_mut(at))
            {
                *part = 0;
            }
        }
        if passed == 6 {
            self.parts = [0; 6];
        }
    }
}

fn part_of(now_ms: i64) -> usize {
    usize::try_from(now_ms.div_euclid(PART_MS).rem_euclid(6)).unwrap_or(0)
}

/// Counts a crash at all its levels, in `tallies` as the levels stand, and says what it may keep
/// of what was `asked` for.
pub fn admit(
    levels: &[Level],
    tallies: &mut [Tally],
    asked: Policy,
    settings: &GovernorSettings,
    now_ms: i64,
) -> Ceiling {
    let pairs = || levels.iter().zip(tallies.iter());
    let poorest = pairs()
        .map(|(level, tally)| (tally.allows(settings, level.share, now_ms), level, tally))
        .max_by_key(|(allowed, ..)| *allowed);
    let ceiling = match poorest {
        Some((allowed, level, tally)) if allowed != Policy::Full => Ceiling {
            policy: allowed,
            reason: reason(&level.kind, tally, now_ms),
        },
        _ => Ceiling::none(),
    };
    // What nobody asked for uses nothing up.
    let kept = ceiling.policy.max(asked);
    for (level, tally) in levels.iter().zip(tallies.iter_mut()) {
        tally.count(kept, settings, level.share, now_ms);
    }
    ceiling
}

fn reason(kind: &Kind, tally: &Tally, now_ms: i64) -> String {
    let parts = [&kind.workload, &kind.image, &kind.executable];
    let named: Vec<&str> = parts
        .into_iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    let crashes = tally.last_hour(now_ms).saturating_add(1);
    format!(
        "the governor: crash {crashes} of {} within an hour",
        named.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Container;

    const MINUTE: i64 = 60_000;

    fn one_level() -> Vec<Level> {
        vec![Level {
            kind: Kind::default(),
            share: 1,
        }]
    }

    /// What `crashes` at these times keep, as letters.
    fn kept(times: impl IntoIterator<Item = i64>, settings: &GovernorSettings) -> String {
        let mut tallies = [Tally::default()];
        let mut letter =
            |now| match admit(&one_level(), &mut tallies, Policy::Full, settings, now).policy {
                Policy::Full => 'F',
                Policy::Lean => 'l',
                _ => '.',
            };
        times.into_iter().map(&mut letter).collect()
    }

    #[test]
    fn the_first_are_whole_the_next_lean_the_rest_records() {
        let settings = GovernorSettings::default();
        let start = 1_000_000_000_000;
        let storm = kept((0..30).map(|crash| start + crash * 100), &settings);
        assert_eq!(storm, format!("FFF{}{}", "l".repeat(10), ".".repeat(17)));
        // A crash an hour is never limited, one every ten minutes is whole once an hour.
        assert_eq!(
            kept((0..20).map(|crash| start + crash * 60 * MINUTE), &settings),
            "F".repeat(20)
        );
        let every_ten = kept((0..30).map(|crash| start + crash * 10 * MINUTE), &settings);
        assert_eq!(every_ten, "FFFlllFlllllFlllllFlllllFlllll");
        assert_eq!(
            kept(
                [start, start],
                &GovernorSettings {
                    full: 0,
                    lean: 0,
                    ..settings.clone()
                }
            ),
            ".."
        );
        let off = GovernorSettings {
            enabled: false,
            ..settings
        };
        assert_eq!(kept((0..50).map(|_| start), &off), "F".repeat(50));
    }

    #[test]
    fn never_more_than_the_settings_allow_in_any_hour() {
        let settings = GovernorSettings::default();
        let mut state = 7u64;
        let mut now = 1_000_000_000_000i64;
        let mut tallies = [Tally::default()];
        let mut whole = Vec::new();
        for _ in 0..5000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            now += i64::try_from(state >> 46).unwrap_or(0);
            if admit(&one_level(), &mut tallies, Policy::Full, &settings, now).policy
                == Policy::Full
            {
                whole.push(now);
            }
        }
        for (index, at) in whole.iter().enumerate() {
            let hour = whole
                .iter()
                .skip(index)
                .take_while(|next| **next < at + 60 * MINUTE)
                .count();
            assert!(hour <= 4, "{hour} within an hour");
        }
        assert!(whole.len() > 50, "{}", whole.len());
    }

    #[test]
    fn a_clock_set_back_closes_nothing_for_good() {
        let settings = GovernorSettings::default();
        let late = 2_000_000_000_000;
        let early = 1_000_000_000_000;
        let times = [
            late,
            late,
            late,
            late,
            early,
            early + 60 * MINUTE,
            early + 120 * MINUTE,
        ];
        assert_eq!(kept(times, &settings), "FFFl.FF");
    }

    #[test]
    fn what_is_not_asked_for_uses_nothing_up() {
        let settings = GovernorSettings::default();
        let mut tallies = [Tally::default()];
        for _ in 0..9 {
            admit(&one_level(), &mut tallies, Policy::Record, &settings, 5);
        }
        assert_eq!(tallies[0].allows(&settings, 1, 5), Policy::Full);
        assert_eq!((tallies[0].crashes, tallies[0].last_hour(5)), (9, 9));
    }

    #[test]
    fn the_last_hour_is_counted_in_parts() {
        let settings = GovernorSettings::default();
        let mut tallies = [Tally::default()];
        let start = 1_000_000_200_000;
        for minute in 0..90 {
            admit(
                &one_level(),
                &mut tallies,
                Policy::Full,
                &settings,
                start + minute * MINUTE,
            );
        }
        let now = start + 90 * MINUTE;
        let hour = tallies[0].last_hour(now);
        assert!((50..=60).contains(&hour), "{hour}");
        assert_eq!(tallies[0].last_hour(now + 70 * MINUTE), 0);
        assert_eq!(tallies[0].crashes, 90);
    }

    fn crash(labels: &[(&str, &str)], name: &str, executable: &str) -> Record {
        let labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut record = Record {
            container: Some(Container {
                name: Some(name.to_owned()),
                image: Some("shop:1".to_owned()),
                labels: labels.collect(),
                ..Container::default()
            }),
            ..Record::default()
        };
        record.process.executable = Some(executable.to_owned());
        record
    }

    #[test]
    fn crashes_count_by_what_lasts() {
        let keys = |record: &Record| -> Vec<String> {
            levels(record)
                .iter()
                .map(|level| level.kind.key())
                .collect()
        };
        let (first, second) = (
            crash(&[], "happy_newton", "/app"),
            crash(&[], "sad_turing", "/app"),
        );
        assert_ne!(keys(&first)[0], keys(&second)[0]);
        assert_eq!(keys(&first)[1..], keys(&second)[1..]);
        let compose = [
            ("com.docker.compose.project", "shop"),
            ("com.docker.compose.service", "api"),
        ];
        let (first, second) = (
            crash(&compose, "shop-api-1", "/app"),
            crash(&compose, "shop-api-2", "/app"),
        );
        assert_eq!(keys(&first), keys(&second));
        assert_eq!(levels(&first)[0].kind.workload, "compose shop/api");
        let disguised = [crash(&[], "x", "/tmp/a"), crash(&[], "x", "/tmp/b")];
        assert_eq!(keys(&disguised[0]).last(), keys(&disguised[1]).last());
        let long = crash(&[], &"n".repeat(9999), &"/e".repeat(9999));
        assert!(levels(&long).iter().all(|level| level.kind.executable.len() <= 200 && level.kind.workload.len() <= 200));
        assert_eq!(levels(&Record::default()).len(), 2);
    }
}
