//! Decides what is given up when limits are exceeded, and says why.
//!
//! ```text
//! rows ─► Held ─► plan (pure) ─► Plan: steps with reasons ─► carried out one by one
//! ```
//!
//! Evidence goes in three stages, the next only when the one before has nothing left: whole cores
//! become lean, memory is dropped (record, report and log stay), and at last dumps are deleted.
//! Within a stage the dumps that matter most to their group come last, and of the rest the group
//! that holds most gives first: a crash loop pays for itself.

mod plan;
mod rows;
pub mod size;

pub use plan::{asked, plan};

use aground_helper::id::DumpId;
use aground_helper::record::Kept;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What may be held. The default limits nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Most bytes of dumps and modules together.
    pub max_bytes: Option<u64>,
    /// Bytes that must stay free on the file system of the state directory.
    pub min_free: u64,
    /// Dumps older than this are deleted, milliseconds.
    pub max_age_ms: Option<u64>,
    /// Memory older than this is dropped, milliseconds.
    pub memory_age_ms: Option<u64>,
    /// So many dumps of each group keep their memory as long as anything else can give.
    pub per_group: u64,
}

/// What is held, as rows say. Dumps that nobody asked about may not be touched.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// The clock, milliseconds since the epoch.
    pub now_ms: i64,
    /// Bytes free on the file system.
    pub free: u64,
    /// The dumps, in no particular order.
    pub dumps: Vec<HeldDump>,
    /// Bytes of each module; [`HeldDump::modules`] are indices into this.
    pub modules: Vec<u64>,
}

/// One dump as retention sees it.
#[derive(Clone, Debug)]
pub struct HeldDump {
    /// Its id.
    pub id: DumpId,
    /// Its group; before it has one, what ran: crashes of one program are then each other's rivals.
    pub group: String,
    /// When the process died, milliseconds since the epoch.
    pub crashed_at_ms: i64,
    /// Whether people asked that it stay.
    pub pinned: bool,
    /// Whether it may be given up here: a filter leaves others out.
    pub eligible: bool,
    /// What is kept of the memory now.
    pub kept: Kept,
    /// Whether its policy keeps no memory any longer: `trace`, and the report exists.
    pub expired: bool,
    /// Whether the attempt to make its core lean may be made.
    pub thinnable: bool,
    /// Bytes on disk of the memory.
    pub memory: u64,
    /// Bytes on disk of record, report and log.
    pub rest: u64,
    /// The modules it needs.
    pub modules: Vec<usize>,
}

/// What is given up of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The whole core becomes a lean one.
    Thin,
    /// The core goes, and modules that only it needed.
    DropMemory,
    /// All of the dump.
    Delete,
}

/// One step of a [`Plan`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The dump.
    pub id: DumpId,
    /// What is done to it.
    pub action: Action,
    /// Why, the end of a sentence that begins with "because".
    pub reason: String,
    /// Bytes this frees; an estimate for [`Action::Thin`].
    pub frees: u64,
}

/// What is given up, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    /// Bytes of dumps and modules before.
    pub held: u64,
    /// Why a limit is still exceeded after all of them, a sentence.
    pub unmet: Option<String>,
}

impl Plan {
    /// Bytes all steps together free.
    pub fn frees(&self) -> u64 {
        self.steps
            .iter()
            .fold(0, |sum, step| sum.saturating_add(step.frees))
    }
}

/// Which dumps a plan may touch, and what is known about them besides their rows.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Only dumps that match.
    pub query: crate::Query,
    /// Whether whole cores can be made lean at all.
    pub thin: bool,
    /// Cores that could not be made lean when it was tried.
    pub unthinnable: BTreeSet<DumpId>,
}
