//! Theories about causes across all groups: what is being worked out, and what was.

use crate::lifecycle::{State, Theory};
use crate::store::{Store, StoreError};
use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Groups that are looked at, those with the newest theories.
const MOST_GROUPS: i64 = 500;

/// A theory and the group that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Investigation {
    /// The group.
    pub group: String,
    /// Its cause in one line, of its newest crash; its signature when none is left.
    pub title: String,
    /// Where the group stands.
    pub state: State,
    /// Who looks after it.
    pub owner: Option<String>,
    /// The theory.
    pub theory: Theory,
}

impl Store {
    /// Theories that were not taken back, newest first.
    pub fn investigations(&self) -> Result<Vec<Investigation>, StoreError> {
        let groups: Vec<String> = self.inner.database.read(|sql| {
            let mut statement = sql.prepare_cached(
                "SELECT group_id FROM group_changes WHERE NOT undone AND json_extract(change, '$.kind') = 'theory'
                 GROUP BY group_id ORDER BY max(sequence) DESC LIMIT ?1",
            )?;
            let rows = statement.query_map([MOST_GROUPS], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })?;
        let (mut known, mut found) = (BTreeSet::new(), vec![]);
        for group in groups {
            let life = self.life(&group)?;
            // Theories of merged groups are those of the group they went to.
            if !known.insert(life.group.clone()) {
                continue;
            }
            let title = self.title_of_group(&life.group)?;
            found.extend(life.theories.into_iter().map(|theory| Investigation {
                group: life.group.clone(),
                title: title.clone(),
                state: life.state,
                owner: life.owner.clone(),
                theory,
            }));
        }
        found.sort_by_key(|one| std::cmp::Reverse(one.theory.id));
        Ok(found)
    }

    fn title_of_group(&self, group: &str) -> Result<String, StoreError> {
        self.inner.database.read(|sql| {
            let title: Option<Option<String>> = sql
                .prepare_cached(
                    "SELECT coalesce(
                         (SELECT title FROM dumps WHERE group_id = ?1 ORDER BY crashed_at_ms DESC LIMIT 1),
                         (SELECT title FROM groups WHERE id = ?1),
                         (SELECT title FROM group_lives WHERE group_id = ?1))",
                )?
                .query_row([group], |row| row.get(0))
                .optional()?;
            Ok(title.flatten().unwrap_or_default())
        })
    }
}
