//! Tells people how near a crash is to each group, and what each of its frames weighs.

use crate::assign::line;
use crate::lifecycle;
use crate::proposals::told_apart;
use crate::similar;
use crate::stack::Stack;
use crate::store::{Store, StoreError};
use aground_analyzer::group::{parts, rarity, similarity};
use aground_analyzer::report::Signature;
use aground_helper::id::DumpId;
use rusqlite::{OptionalExtension, Transaction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How alike a crash is to the most similar other crash of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Likeness {
    /// The group.
    pub group: String,
    /// The signature that it was compared with.
    pub title: String,
    /// From 0 to 1.
    pub likeness: f64,
    /// Whether somebody said that they are two bugs.
    #[serde(default)]
    pub distinct: bool,
}

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    /// How many groups have it.
    pub groups: u64,
    /// What it weighs: 1 for the topmost frame that no other group has.
    pub weight: f64,
}

impl Store {
    /// The groups that are most like a dump, most alike first: its own, when it has crashes of
    /// other signatures, and others of the same class.
    pub fn like(&self, dump: &DumpId) -> Result<Vec<Likeness>, StoreError> {
        self.inner.database.read(|sql| {
            let own = sql
                .prepare_cached(
                    "SELECT s.key, s.class, s.stack, d.group_id FROM dumps d JOIN signatures s ON s.id = d.signature
                     WHERE d.id = ?1",
                )?
                .query_row([dump.as_str()], |row| {
                    let stack = Stack::read(row.get(1)?, row.get_ref(2)?.as_str()?);
                    Ok((row.get(0)?, stack, row.get::<_, Option<String>>(3)?))
                })
                .optional()?;
            let Some((key, stack, group)) = own else {
                return Ok(Vec::new());
            };
            let near = similar::nearest(sql, &stack, Some(key))?;
            let near = near.into_iter().map(|near| {
                let other = lifecycle::live(sql, &near.home)?;
                let told = group.as_ref().map(|group| told_apart(sql, group, &other));
                Ok(Likeness {
                    distinct: told.unwrap_or(Ok(false))?,
                    group: other,
                    title: near.title,
                    likeness: near.likeness,
                })
            });
            near.collect()
        })
    }

    /// What each frame of a signature weighs; nothing for those that do not count.
    pub fn weights(&self, signature: &Signature) -> Result<Vec<Option<Weight>>, StoreError> {
        let groups = self.groups_of(signature)?;
        let weights = parts(signature).into_iter().map(|part| {
            let groups = groups.get(part.key).copied().unwrap_or(0);
            Weight {
                groups,
                weight: part.weight * rarity(groups),
            }
        });
        let mut weights = weights.collect::<Vec<_>>().into_iter();
        let frames = signature.frames.iter();
        Ok(frames
            .map(|frame| frame.kept.then(|| weights.next()).flatten())
            .collect())
    }

    /// How alike two signatures are, whatever their classes.
    pub fn likeness(&self, one: &Signature, other: &Signature) -> Result<f64, StoreError> {
        let (mut groups, more) = (self.groups_of(one)?, self.groups_of(other)?);
        groups.extend(more);
        let rarity = |key: &&str| rarity(groups.get(*key).copied().unwrap_or(0));
        Ok(similarity(&parts(one), &parts(other), rarity))
    }

    /// In how many groups each frame is that counts.
    fn groups_of(&self, signature: &Signature) -> Result<BTreeMap<String, u64>, StoreError> {
        self.inner.database.read(|sql| {
            let kept = signature.frames.iter().filter(|frame| frame.kept);
            kept.map(|frame| Ok((frame.key().to_owned(), homes_of(sql, frame.key())?)))
                .collect()
        })
    }
}

fn homes_of(sql: &Transaction<'_>, key: &str) -> Result<u64, StoreError> {
    let homes: Option<i64> = sql
        .prepare_cached("SELECT homes FROM terms WHERE text = ?1")?
        .query_row([line(key)], |row| row.get(0))
        .optional()?;
    Ok(homes.map_or(0, crate::database::from_sql))
}
