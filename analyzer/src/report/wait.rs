//! What a thread waits for, and who has it.

use super::{Address, Thread};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a thread waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// `mutex`, or `end` of another thread.
    pub what: String,
    /// The mutex, or the word that the kernel watches.
    pub address: Address,
    /// The thread that has it; `None` when the mutex does not record that.
    pub owner: Option<i32>,
    /// That thread's name.
    pub owner_name: Option<String>,
    /// Whether that thread is not in the core: it ended, or is another process's.
    #[serde(default)]
    pub owner_missing: bool,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self
            .owner_name
            .as_deref()
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        let missing = if self.owner_missing {
            ", which is not in the core"
        } else {
            ""
        };
        let address = self.address;
        match (self.what.as_str(), self.owner) {
            ("end", Some(owner)) => write!(f, "waits for thread {owner}{name} to end"),
            (_, Some(owner)) => write!(
                f,
                "waits for the mutex at {address}, owned by thread {owner}{name}{missing}"
            ),
            (_, None) => write!(
                f,
                "waits for the mutex at {address}, which does not record its owner"
            ),
        }
    }
}

/// Threads with the same stack, by program counters, as one; in order of first sight.
pub fn alike<'t>(threads: impl IntoIterator<Item = &'t Thread>) -> Vec<Vec<&'t Thread>> {
    let mut seen = std::collections::HashMap::new();
    let mut alike: Vec<Vec<&Thread>> = Vec::new();
    for thread in threads {
        let key: Vec<_> = thread
            .frames
            .iter()
            .map(|frame| (frame.pc, frame.inline))
            .collect();
        let at = *seen.entry(key).or_insert(alike.len());
        match alike.get_mut(at) {
            Some(group) => group.push(thread),
            None => alike.push(vec![thread]),
        }
    }
    alike
}
