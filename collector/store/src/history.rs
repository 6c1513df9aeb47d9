//! Where and since when a group was seen, and what its crashes have more often than others.

use crate::chance::fisher;
use crate::database::from_sql;
use crate::store::{Store, StoreError};
use rusqlite::{OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is shown with its times.
const SEEN: [&str; 5] = ["image", "image_digest", "host", "container", "executable"];
/// What is compared with the rest. The program itself and what it is called are no surprise.
const COMPARED: [&str; 10] = [
    "host",
    "image",
    "image_digest",
    "cpu",
    "kernel",
    "arch",
    "label",
    "argument",
    "namespace",
    "workload",
];
/// Values of one facet that are shown.
const MOST_SEEN: usize = 50;
/// Values of one facet that are compared, the most frequent ones.
const MOST_COMPARED: usize = 50;
/// Findings that are handed out.
const MOST_FINDINGS: usize = 30;
/// Fewer crashes than these say nothing.
const LEAST_HERE: u64 = 5;
const LEAST_ELSEWHERE: u64 = 20;
/// A finding is less likely by chance than this, after the correction.
const LIKELY: f64 = 0.01;

/// Where a group was seen, and what stands out in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The group.
    pub group: String,
    /// Values seen, by facet: `image`, `image_digest`, `host`, `container`, `executable`.
    pub seen: BTreeMap<String, Seen>,
    /// What its crashes have more often than all others.
    pub more_often: MoreOften,
}

/// Values of one facet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Most frequent first, at most 50.
    pub values: Vec<SeenValue>,
    /// How many more there are.
    pub more: u64,
}

/// A value, how often it was seen and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenValue {
    /// The value.
    pub value: String,
    /// Crashes that are still here.
    pub crashes: u64,
    /// When it was seen first, also if that crash is gone; milliseconds since the epoch.
    pub first_seen_ms: i64,
    /// When it was seen last.
    pub last_seen_ms: i64,
}

/// What is over-represented in a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MoreOften {
    /// Least likely by chance first.
    pub findings: Vec<Finding>,
    /// How many values were compared, by which the probabilities are multiplied.
    pub compared: u64,
    /// Crashes of the group.
    pub of_here: u64,
    /// Crashes of all other groups.
    pub of_elsewhere: u64,
    /// Why nothing was compared, a sentence; `None` when it was.
    pub too_little: Option<String>,
}

/// A value that crashes of the group have more often than others: `here` of `of_here`, against
/// `elsewhere` of `of_elsewhere`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `host`, `image`, `image_digest`, `cpu`, `kernel`, `arch`, `label`, `argument`,
    /// `namespace` or `workload`.
    pub facet: String,
    /// The value; of labels `key=value`. Numbers that vary are folded to `…`.
    pub value: String,
    /// Crashes of this group that have it.
    pub here: u64,
    /// Crashes of this group.
    pub of_here: u64,
    /// Crashes of other groups that have it.
    pub elsewhere: u64,
    /// Crashes of other groups.
    pub of_elsewhere: u64,
    /// How likely a difference as great is by chance: two-sided Fisher exact test, multiplied by
    /// the number of values compared (Bonferroni). Counts crashes as if each were on its own.
    pub p: f64,
}

struct Counted {
    facet: String,
    value: String,
    here: u64,
    everywhere: u64,
    first: i64,
    last: i64,
}

impl Store {
    /// Where a group was seen, and what stands out in it. By full id.
    pub fn history(&self, id: &str) -> Result<History, StoreError> {
        self.inner.database.read(|sql| {
            let of_here: Option<i64> = sql
                .prepare_cached("SELECT crashes FROM groups WHERE id = ?1")?
                .query_row([id], |row| row.get(0))
                .optional()?;
            let of_here = from_sql(of_here.ok_or(StoreError::NotFound("group"))?);
            let all: i64 =
                sql.query_row("SELECT coalesce(sum(crashes), 0) FROM groups", [], |row| {
                    row.get(0)
                })?;
            let of_elsewhere = from_sql(all).saturating_sub(of_here);
            let counted = counted(sql, id)?;
            Ok(History {
                group: id.to_owned(),
                seen: SEEN
                    .iter()
                    .map(|facet| ((*facet).to_owned(), seen(&counted, facet)))
                    .filter(|(_, seen)| !seen.values.is_empty())
                    .collect(),
                more_often: more_often(&counted, of_here, of_elsewhere),
            })
        })
    }
}

/// Values of a group, most frequent first.
fn counted(sql: &Transaction<'_>, group: &str) -> Result<Vec<Counted>, StoreError> {
    let mut statement = sql.prepare_cached(
        "SELECT f.facet, v.value, f.crashes, v.crashes, f.first_seen_ms, f.last_seen_ms
         FROM group_facets f JOIN facet_values v ON v.key = f.value WHERE f.group_id = ?1",
    )?;
    let rows = statement.query_map([group], |row| {
        Ok(Counted {
            facet: row.get(0)?,
            value: row.get(1)?,
            here: from_sql(row.get(2)?),
            everywhere: from_sql(row.get(3)?),
            first: row.get(4)?,
            last: row.get(5)?,
        })
    })?;
    let mut counted = rows.collect::<Result<Vec<_>, _>>()?;
    counted.sort_by(|a, b| b.here.cmp(&a.here).then_with(|| a.value.cmp(&b.value)));
    Ok(counted)
}

fn seen(counted: &[Counted], facet: &str) -> Seen {
    let of_facet: Vec<&Counted> = counted.iter().filter(|c| c.facet == facet).collect();
    let shown = of_facet.iter().take(MOST_SEEN);
    Seen {
        values: shown
            .map(|c| SeenValue {
                value: c.value.clone(),
                crashes: c.here,
                first_seen_ms: c.first,
                last_seen_ms: c.last,
            })
            .collect(),
        more: u64::try_from(of_facet.len().saturating_sub(MOST_SEEN)).unwrap_or(0),
    }
}

fn more_often(counted: &[Counted], of_here: u64, of_elsewhere: u64) -> MoreOften {
    let mut found = MoreOften {
        of_here,
        of_elsewhere,
        ..MoreOften::default()
    };
    if of_here < LEAST_HERE || of_elsewhere < LEAST_ELSEWHERE {
        found.too_little = Some(format!(
            "Too few crashes to compare: {of_here} here and {of_elsewhere} elsewhere; {LEAST_HERE} and {LEAST_ELSEWHERE} are needed."
        ));
        return found;
    }
    let mut tested: Vec<Finding> = vec![];
    for facet in COMPARED {
        let values = counted.iter().filter(|c| c.facet == facet && c.here >= 2);
        tested.extend(values.take(MOST_COMPARED).map(|c| {
            let elsewhere = c.everywhere.saturating_sub(c.here);
            Finding {
                facet: c.facet.clone(),
                value: c.value.clone(),
                here: c.here,
                of_here,
                elsewhere,
                of_elsewhere,
                p: fisher(c.here, of_here, elsewhere, of_elsewhere),
            }
        }));
    }
    found.compared = u64::try_from(tested.len()).unwrap_or(u64::MAX);
    let times = f64::from(u32::try_from(tested.len()).unwrap_or(u32::MAX));
    found.findings = tested
        .into_iter()
        .map(|finding| Finding {
            p: (finding.p * times).min(1.0),
            ..finding
        })
        .filter(|finding| finding.p < LIKELY && is_more(finding))
        .collect();
    found
        .findings
        .sort_by(|a, b| a.p.total_cmp(&b.p).then_with(|| b.here.cmp(&a.here)));
    found.findings.truncate(MOST_FINDINGS);
    found
}

/// Whether the share here is the greater one.
fn is_more(finding: &Finding) -> bool {
    u128::from(finding.here) * u128::from(finding.of_elsewhere)
        > u128::from(finding.elsewhere) * u128::from(finding.of_here)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(facet: &str, value: &str, here: u64, everywhere: u64) -> Counted {
        Counted {
            facet: facet.to_owned(),
            value: value.to_owned(),
            here,
            everywhere,
            first: 0,
            last: 0,
        }
    }

    #[test]
    fn what_is_common_here_and_rare_elsewhere_is_found() {
        let values = [
            counted("host", "node7", 40, 60),
            counted("host", "node1", 5, 1000),
            counted("kernel", "6.1", 50, 10_050),
            counted("label", "team=core", 50, 80),
            counted("argument", "--once", 1, 1),
            counted("container", "web-1", 50, 50),
        ];
        let found = more_often(&values, 50, 10_000);
        let names: Vec<_> = found.findings.iter().map(|f| f.value.as_str()).collect();
        assert_eq!(names, ["team=core", "node7"]);
        assert_eq!(found.compared, 4);
        let host = found.findings.iter().find(|f| f.facet == "host");
        assert_eq!(
            host.map(|f| (f.here, f.of_here, f.elsewhere)),
            Some((40, 50, 20))
        );
        assert!(found.findings.iter().all(|f| f.p < LIKELY));
    }

    #[test]
    fn little_data_says_so() {
        let values = [counted("host", "node7", 4, 4)];
        for (here, elsewhere) in [(4, 10_000), (50, 3)] {
            let found = more_often(&values, here, elsewhere);
            assert!(found.findings.is_empty() && found.too_little.is_some());
        }
    }
}
