//! The part of a group's page that says where and since when it was seen, and what stands out.

use crate::cli::hosts::chance;
use crate::cli::report::share;
use crate::ui::view::text::{self, Brief};
use crate::ui::view::time::Moment;
use aground_store::history::{Finding, History, SeenValue};

/// Rows of each list.
const MOST: usize = 10;

/// Values of one kind with their times.
#[derive(Clone, Debug)]
pub struct SeenList {
    /// What they are.
    pub title: &'static str,
    /// The most frequent ones.
    pub rows: Vec<SeenRow>,
    /// How many more there are.
    pub more: u64,
}

/// A value with its times.
#[derive(Clone, Debug)]
pub struct SeenRow {
    /// The value.
    pub value: Brief,
    /// Crashes of the group that have it.
    pub crashes: String,
    /// When it was seen first.
    pub first: Moment,
    /// When it was seen last.
    pub last: Moment,
}

/// Something that crashes of the group have more often than others.
#[derive(Clone, Debug)]
pub struct FindingRow {
    /// What it is a value of.
    pub facet: String,
    /// The value.
    pub value: Brief,
    /// How many have it here.
    pub here: String,
    /// How many have it elsewhere.
    pub elsewhere: String,
    /// How likely that is by chance.
    pub chance: String,
}

/// What the page shows of a history.
#[derive(Clone, Debug)]
pub struct SeenView {
    /// Images by digest, and hosts.
    pub lists: Vec<SeenList>,
    /// What stands out, least likely by chance first.
    pub findings: Vec<FindingRow>,
    /// What was done, or why nothing was.
    pub note: String,
}

impl SeenView {
    /// Of a history.
    pub fn new(history: &History, now_ms: i64) -> Self {
        let lists = [("image_digest", "Image digests"), ("host", "Hosts")];
        let list = |(facet, title): (&str, &'static str)| {
            let seen = history.seen.get(facet)?;
            let left = seen.values.len().saturating_sub(MOST);
            let rows = seen.values.iter().take(MOST);
            Some(SeenList {
                title,
                rows: rows.map(|value| SeenRow::new(value, now_ms)).collect(),
                more: seen.more.saturating_add(u64::try_from(left).unwrap_or(0)),
            })
        };
        let found = &history.more_often;
        let note = match &found.too_little {
            Some(why) => why.clone(),
            None if found.findings.is_empty() => format!(
                "Nothing: {} values were compared with {} of other groups.",
                text::grouped(found.compared),
                text::count(found.of_elsewhere, "crash", "crashes")
            ),
            None => format!(
                "Fisher's exact test, two-sided, times the {} values compared. Crashes count one by one, though those of a loop are not independent of each other.",
                text::grouped(found.compared)
            ),
        };
        Self {
            lists: lists.into_iter().filter_map(list).collect(),
            findings: found
                .findings
                .iter()
                .take(MOST)
                .map(FindingRow::new)
                .collect(),
            note,
        }
    }
}

impl SeenRow {
    fn new(value: &SeenValue, now_ms: i64) -> Self {
        Self {
            value: Brief::new(&value.value, 100),
            crashes: text::grouped(value.crashes),
            first: Moment::new(value.first_seen_ms, now_ms),
            last: Moment::new(value.last_seen_ms, now_ms),
        }
    }
}

impl FindingRow {
    fn new(finding: &Finding) -> Self {
        let of = |part: u64, whole: u64| {
            let (part_text, whole_text) = (text::grouped(part), text::grouped(whole));
            format!("{part_text} of {whole_text} ({})", share(part, whole))
        };
        Self {
            facet: finding.facet.replace('_', " "),
            value: Brief::new(&finding.value, 120),
            here: of(finding.here, finding.of_here),
            elsewhere: of(finding.elsewhere, finding.of_elsewhere),
            chance: chance(finding.p),
        }
    }
}
