//! What a group's changes come to: a pure fold, so that undoing is to fold without.

use super::change::{Actor, Change, Entry, Evidence, ImageMark, Until, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Where a group stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Somebody should look.
    #[default]
    Open,
    /// Its cause is no more.
    Resolved,
    /// Nobody wants to hear of it for now.
    Ignored,
    /// It was resolved, and came back.
    Regressed,
}

impl State {
    /// Every state.
    pub const ALL: [State; 4] = [
        State::Open,
        State::Resolved,
        State::Ignored,
        State::Regressed,
    ];

    /// The word used in JSON, in queries and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Resolved => "resolved",
            State::Ignored => "ignored",
            State::Regressed => "regressed",
        }
    }

    /// The state of a word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What was decided about a group, so far as it holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Life {
    /// The group.
    pub group: String,
    /// Where it stands.
    pub state: State,
    /// Since when, milliseconds since the epoch; 0: since it exists.
    pub since_ms: i64,
    /// By which change; 0: none.
    pub by_change: i64,
    /// Who made it that; `None`: nobody yet.
    pub by: Option<Actor>,
    /// In which image it is resolved; `None`: everywhere, or it is not.
    pub resolved_in: Option<ImageMark>,
    /// Until when it is ignored.
    pub ignored: Option<Until>,
    /// Crashes since it is ignored.
    pub ignored_seen: u64,
    /// Why it is open again, or how it is known to have come back.
    pub why: Option<String>,
    /// Who looks after it.
    pub owner: Option<String>,
    /// Where it is worked on.
    pub tickets: Vec<String>,
    /// Words to find it by, sorted.
    pub tags: Vec<String>,
    /// What is worth knowing, oldest first.
    pub notes: Vec<Note>,
    /// What the cause may be, oldest first.
    pub theories: Vec<Theory>,
    /// Groups that were merged into it.
    pub merged: Vec<String>,
    /// Groups that are other bugs, however alike they are.
    #[serde(default)]
    pub distinct: Vec<String>,
    /// The group whose these crashes are now, when it was merged into one.
    pub merged_into: Option<String>,
}

/// Something worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The change that holds it.
    pub change: i64,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// Who.
    pub by: Actor,
    /// The text.
    pub text: String,
}

/// What the cause may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Theory {
    /// Its number: the change that holds it.
    pub id: i64,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// Who.
    pub by: Actor,
    /// The text.
    pub text: String,
    /// What became of it.
    pub verdict: Verdict,
    /// Why, when somebody said.
    pub why: Option<String>,
    /// Who judged.
    pub judged_by: Option<Actor>,
    /// What speaks for or against it, oldest first.
    pub evidence: Vec<Exhibit>,
}

/// One piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exhibit {
    /// The change that holds it.
    pub change: i64,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// Who.
    pub by: Actor,
    /// What.
    pub evidence: Evidence,
}

impl Life {
    /// What the changes come to, oldest first: of the group itself and of those merged into it,
    /// whose tags, notes and theories it takes over, but not their state.
    pub(crate) fn fold(group: &str, entries: &[Entry]) -> Self {
        let mut life = Life {
            group: group.to_owned(),
            ..Life::default()
        };
        let mut tags = BTreeSet::new();
        for entry in entries.iter().filter(|entry| !entry.undone) {
            let own = entry.group == group;
            if own {
                life.stand(entry);
            }
            life.learn(entry, own, &mut tags);
        }
        life.tags = tags.into_iter().collect();
        life
    }

    /// Takes on a state.
    fn stand(&mut self, entry: &Entry) {
        let state = match &entry.change {
            Change::Resolve { .. } => State::Resolved,
            Change::Ignore { .. } => State::Ignored,
            Change::Reopen { .. } => State::Open,
            Change::Regress { .. } => State::Regressed,
            Change::Merge { into } => {
                self.merged_into = Some(into.clone());
                return;
            }
            _ => return,
        };
        self.state = state;
        (self.since_ms, self.by_change) = (entry.at_ms, entry.sequence);
        self.by = Some(entry.by.clone());
        self.resolved_in = match &entry.change {
            Change::Resolve { image } => image.clone(),
            // It says which resolution was broken.
            Change::Regress { .. } => self.resolved_in.take(),
            _ => None,
        };
        self.ignored = match &entry.change {
            Change::Ignore { until } => Some(*until),
            _ => None,
        };
        self.why = match &entry.change {
            Change::Reopen { why } => why.clone(),
            Change::Regress { why, .. } => Some(why.clone()),
            _ => None,
        };
    }

    fn learn(&mut self, entry: &Entry, own: bool, tags: &mut BTreeSet<String>) {
        match &entry.change {
            Change::Tag { tag } => {
                tags.insert(tag.clone());
            }
            Change::Untag { tag } => {
                tags.remove(tag);
            }
            Change::Ticket { ticket } if !self.tickets.contains(ticket) => {
                self.tickets.push(ticket.clone());
            }
            Change::Unticket { ticket } => self.tickets.retain(|known| known != ticket),
            Change::Distinct { from } if !self.distinct.contains(from) => {
                self.distinct.push(from.clone());
            }
            Change::Owner { owner } if own || self.owner.is_none() => {
                self.owner.clone_from(owner);
            }
            Change::Note { text } => self.notes.push(Note {
                change: entry.sequence,
                at_ms: entry.at_ms,
                by: entry.by.clone(),
                text: text.clone(),
            }),
            Change::Theory { text } => self.theories.push(Theory {
                id: entry.sequence,
                at_ms: entry.at_ms,
                by: entry.by.clone(),
                text: text.clone(),
                verdict: Verdict::Proposed,
                why: None,
                judged_by: None,
                evidence: vec![],
            }),
            Change::Evidence { theory, evidence } => {
                if let Some(theory) = self.theory(*theory) {
                    theory.evidence.push(Exhibit {
                        change: entry.sequence,
                        at_ms: entry.at_ms,
                        by: entry.by.clone(),
                        evidence: evidence.clone(),
                    });
                }
            }
            Change::Verdict {
                theory,
                verdict,
                why,
            } => {
                if let Some(theory) = self.theory(*theory) {
                    theory.verdict = *verdict;
                    theory.why.clone_from(why);
                    theory.judged_by = Some(entry.by.clone());
                }
            }
            _ => {}
        }
    }

    fn theory(&mut self, id: i64) -> Option<&mut Theory> {
        self.theories.iter_mut().find(|theory| theory.id == id)
    }

    /// Everything people wrote, by the change that holds it.
    pub(crate) fn texts(&self) -> BTreeMap<i64, &str> {
        let notes = self
            .notes
            .iter()
            .map(|note| (note.change, note.text.as_str()));
        let theories = self.theories.iter().flat_map(|theory| {
            let evidence = theory
                .evidence
                .iter()
                .filter_map(|exhibit| match &exhibit.evidence {
                    Evidence::Note(text) | Evidence::Link(text) => {
                        Some((exhibit.change, text.as_str()))
                    }
                    Evidence::Dump(_) => None,
                });
            std::iter::once((theory.id, theory.text.as_str())).chain(evidence)
        });
        notes.chain(theories).collect()
    }
}

/// Marks what was undone: an undo that was itself undone undoes nothing.
pub(crate) fn mark_undone(entries: &mut [Entry]) {
    let mut undone = BTreeSet::new();
    for entry in entries.iter_mut().rev() {
        entry.undone = undone.contains(&entry.sequence);
        if let (Change::Undo { change }, false) = (&entry.change, entry.undone) {
            undone.insert(*change);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(changes: Vec<Change>) -> Vec<Entry> {
        let entry = |(sequence, change): (i64, Change)| Entry {
            sequence,
            at_ms: sequence * 10,
            by: Actor::aground(),
            group: "g".to_owned(),
            change,
            undone: false,
        };
        let mut entries: Vec<Entry> = (1..).zip(changes).map(entry).collect();
        mark_undone(&mut entries);
        entries
    }

    fn life(changes: Vec<Change>) -> Life {
        Life::fold("g", &entries(changes))
    }

    const IGNORE: Change = Change::Ignore {
        until: Until::Crashes(3),
    };
    const RESOLVE: Change = Change::Resolve { image: None };
    const fn undo(change: i64) -> Change {
        Change::Undo { change }
    }

    #[test]
    fn what_was_undone_never_was_until_that_is_undone() {
        for (changes, expected) in [
            (vec![], State::Open),
            (vec![RESOLVE, IGNORE], State::Ignored),
            (vec![RESOLVE, IGNORE, undo(2)], State::Resolved),
            (vec![RESOLVE, IGNORE, undo(1)], State::Ignored),
            (vec![RESOLVE, IGNORE, undo(2), undo(1)], State::Open),
            (vec![RESOLVE, undo(1), undo(2)], State::Resolved),
            (vec![RESOLVE, undo(1), undo(2), undo(3)], State::Open),
            (vec![RESOLVE, Change::Reopen { why: None }], State::Open),
        ] {
            let folded = life(changes.clone());
            assert_eq!(folded.state, expected, "{changes:?}");
        }
    }

    #[test]
    fn theories_keep_their_evidence_and_the_last_verdict() {
        let verdict = |verdict, why: Option<&str>| Change::Verdict {
            theory: 1,
            verdict,
            why: why.map(str::to_owned),
        };
        let folded = life(vec![
            Change::Theory {
                text: "a race".to_owned(),
            },
            Change::Evidence {
                theory: 1,
                evidence: Evidence::Link("https://x/1".to_owned()),
            },
            verdict(Verdict::Proven, None),
            verdict(Verdict::Disproven, Some("TSan is quiet")),
            // Of no theory there is.
            Change::Verdict {
                theory: 99,
                verdict: Verdict::Proven,
                why: None,
            },
        ]);
        let [theory] = folded.theories.as_slice() else {
            panic!("{folded:?}")
        };
        assert_eq!(theory.verdict, Verdict::Disproven);
        assert_eq!(theory.why.as_deref(), Some("TSan is quiet"));
        assert_eq!(theory.evidence.len(), 1);
        assert_eq!(
            folded.texts().values().copied().collect::<Vec<_>>(),
            ["a race", "https://x/1"]
        );
    }

    #[test]
    fn a_group_takes_over_the_words_of_those_merged_into_it_but_not_their_state() {
        let mut all = entries(vec![
            Change::Tag {
                tag: "ui".to_owned(),
            },
            RESOLVE,
            Change::Owner {
                owner: Some("ann".to_owned()),
            },
            Change::Merge {
                into: "g".to_owned(),
            },
        ]);
        for entry in &mut all {
            entry.group = "h".to_owned();
        }
        let merged = Life::fold("g", &all);
        assert_eq!(
            (merged.state, merged.tags),
            (State::Open, vec!["ui".to_owned()])
        );
        assert_eq!(merged.owner.as_deref(), Some("ann"));
        assert_eq!(merged.merged_into, None);
        assert_eq!(Life::fold("h", &all).merged_into.as_deref(), Some("g"));
    }
}
