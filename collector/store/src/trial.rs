//! Tries rules on crashes that are there: which groups would part, and which would become one.
//!
//! The newest crashes are signed twice, by the rules in force and by those to be tried, and
//! grouped from nothing in memory both times. What differs is the rules' doing; nothing is kept.

use crate::database;
use crate::similar;
use crate::store::{Store, StoreError};
use aground_analyzer::group::{Rules, sign_again};
use aground_analyzer::report::Signature;
use aground_helper::id::DumpId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Groups of each kind that are told in full.
const TOLD: usize = 100;

/// What rules would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Crashes that were tried, the newest.
    pub dumps: u64,
    /// Those whose signature would be another.
    pub signatures: u64,
    /// Groups they are in by the rules in force.
    pub before: u64,
    /// Groups they would be in.
    pub after: u64,
    /// Groups that would part.
    pub split: Vec<Regrouped>,
    /// Groups that would become one.
    pub merged: Vec<Regrouped>,
}

/// Groups on one side, and what is of them on the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Regrouped {
    /// Signature of the one.
    pub title: String,
    /// An id of a group that has such a crash now.
    pub group: Option<String>,
    /// Signatures of the several, each with its crashes.
    pub parts: Vec<(String, u64)>,
}

/// A crash in both worlds.
struct Tried {
    group: Option<String>,
    sides: [(String, String); 2],
}

impl Store {
    /// Tries rules on at most so many crashes, the newest. Those that a container's label groups
    /// are left out: no rule changes them.
    pub fn try_rules(
        &self,
        in_force: &Rules,
        tried: &Rules,
        most: u32,
    ) -> Result<Trial, StoreError> {
        let mut worlds = [database::in_memory()?, database::in_memory()?];
        let mut crashes = Vec::new();
        let mut signatures = 0;
        for (id, group) in self.newest(most)? {
            let Some(report) = self.report(&id) else {
                continue;
            };
            if report.signature.kind == "label" {
                continue;
            }
            let signed = [in_force, tried].map(|rules| sign_again(&report, rules));
            signatures += u64::from(signed[0].hash != signed[1].hash);
            let mut sides = [(String::new(), String::new()), Default::default()];
            for ((world, signature), side) in worlds.iter_mut().zip(&signed).zip(&mut sides) {
                *side = (home(world, signature)?, signature.title.clone());
            }
            crashes.push(Tried { group, sides });
        }
        let groups = |side: usize| {
            crashes
                .iter()
                .map(|crash| &crash.sides[side].0)
                .collect::<BTreeSet<_>>()
        };
        Ok(Trial {
            dumps: crashes.len() as u64,
            signatures,
            before: groups(0).len() as u64,
            after: groups(1).len() as u64,
            split: several(&crashes, 0, 1),
            merged: several(&crashes, 1, 0),
        })
    }

    fn newest(&self, most: u32) -> Result<Vec<(DumpId, Option<String>)>, StoreError> {
        self.inner.database.read(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT id, group_id FROM dumps WHERE signature IS NOT NULL
                 ORDER BY crashed_at_ms DESC, id DESC LIMIT ?1",
            )?;
            let rows = statement.query_map([most], |row| {
                Ok((crate::dumps::id_column(row, 0)?, row.get(1)?))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }
}

fn home(world: &mut rusqlite::Connection, signature: &Signature) -> Result<String, StoreError> {
    let id = crate::assign::group_id(signature)?;
    let sql = world.transaction()?;
    let home = similar::home(&sql, 0, &id, signature)?;
    sql.commit()?;
    Ok(home)
}

/// Groups of one world whose crashes are in several of the other.
fn several(crashes: &[Tried], one: usize, other: usize) -> Vec<Regrouped> {
    let mut groups: BTreeMap<&str, BTreeMap<&str, (&str, u64)>> = BTreeMap::new();
    let mut first: BTreeMap<&str, &Tried> = BTreeMap::new();
    for crash in crashes {
        let parts = groups.entry(&crash.sides[one].0).or_default();
        let (home, title) = &crash.sides[other];
        parts.entry(home).or_insert((title, 0)).1 += 1;
        first.entry(&crash.sides[one].0).or_insert(crash);
    }
    let parted = groups.into_iter().filter(|(_, parts)| parts.len() > 1);
    parted
        .take(TOLD)
        .filter_map(|(group, parts)| {
            let crash = first.get(group)?;
            Some(Regrouped {
                title: crash.sides[one].1.clone(),
                group: crash.group.clone(),
                parts: parts
                    .into_values()
                    .map(|(title, count)| (title.to_owned(), count))
                    .collect(),
            })
        })
        .collect()
}
