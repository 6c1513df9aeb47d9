//! What the store hands out: rows as people see them.

use crate::lifecycle::State;
use aground_analyzer::report::Report;
use aground_helper::id::DumpId;
use aground_helper::record::Record;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One crash in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DumpSummary {
    /// The dump's id.
    pub id: DumpId,
    /// When the process died, milliseconds since the epoch.
    pub crashed_at_ms: i64,
    /// Hostname of the machine.
    pub host: String,
    /// Signal name.
    pub signal: String,
    /// Process id in the initial namespace.
    pub pid: i32,
    /// Process name (`comm`).
    pub name: String,
    /// Executable path inside the container.
    pub executable: Option<String>,
    /// Command line, arguments joined by spaces.
    pub command: String,
    /// The container, when it ran in one.
    pub container: Option<ContainerSummary>,
    /// systemd unit, for processes of the host.
    pub unit: Option<String>,
    /// The group's id, once analysed.
    pub group: Option<String>,
    /// Cause in one line, once analysed.
    pub title: Option<String>,
    /// Cause kind, once analysed.
    pub cause: Option<String>,
    /// Topmost frame that counts: function, or module+offset.
    pub location: Option<String>,
    /// Where the dump stands.
    pub status: DumpStatus,
    /// What is kept of the memory now: `full`, `lean`, `partial` or `none`. The record says what
    /// was captured.
    pub kept: String,
    /// Why that is less than was captured, the end of a sentence that begins with "because".
    #[serde(default)]
    pub dropped: Option<String>,
    /// Whether people asked that nothing of it is given up.
    #[serde(default)]
    pub pinned: bool,
    /// Whether the core arrived cut.
    pub truncated: bool,
    /// Size of what is kept of the core, before compression, bytes.
    pub core_bytes: u64,
    /// Bytes on disk of the core.
    #[serde(default)]
    pub memory_bytes: u64,
    /// Bytes on disk of core, log and report (modules are shared and not counted).
    pub stored_bytes: u64,
    /// How long the kernel held the process, microseconds.
    pub hold_us: Option<u64>,
    /// Why analysis failed, when it did.
    pub analysis_error: Option<String>,
}

impl DumpSummary {
    /// What was given up of the memory, and why: a clause for a sentence.
    pub fn given_up(&self) -> Option<String> {
        let reason = self.dropped.as_deref()?;
        Some(match self.kept.as_str() {
            "none" => format!("its memory was dropped because {reason}"),
            _ => format!("its whole core became a lean one because {reason}"),
        })
    }
}

/// The container of a [`DumpSummary`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSummary {
    /// Runtime name.
    pub runtime: String,
    /// Full id.
    pub id: String,
    /// Name.
    pub name: Option<String>,
    /// Image reference.
    pub image: Option<String>,
    /// Image id.
    pub image_id: Option<String>,
    /// Kubernetes namespace.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Kubernetes pod.
    #[serde(default)]
    pub pod: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// Where a dump stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DumpStatus {
    /// Waits for analysis.
    Pending,
    /// Is being analysed.
    Analyzing,
    /// Has a report.
    Analyzed,
    /// Analysis failed; the record is all there is.
    Failed,
}

impl DumpStatus {
    /// The word used in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            DumpStatus::Pending => "pending",
            DumpStatus::Analyzing => "analyzing",
            DumpStatus::Analyzed => "analyzed",
            DumpStatus::Failed => "failed",
        }
    }
}

/// One crash whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dump {
    /// The row.
    pub summary: DumpSummary,
    /// What was known at death.
    pub record: Record,
    /// What analysis concluded, once it has.
    pub report: Option<Report>,
    /// Tail of the container's log, lossily decoded.
    pub log_tail: Option<String>,
}

/// Crashes with the same cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSummary {
    /// Group id: 16 lowercase hexadecimal digits (the head of the signature's hash).
    pub id: String,
    /// Where it stands.
    #[serde(default)]
    pub state: State,
    /// Who looks after it.
    #[serde(default)]
    pub owner: Option<String>,
    /// Words to find it by, sorted.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Where it is worked on.
    #[serde(default)]
    pub tickets: Vec<String>,
    /// Readable signature: `parse_header | handle_request`.
    pub title: String,
    /// Cause in one line, of the newest crash.
    pub cause_title: String,
    /// Cause kind.
    pub cause: String,
    /// Signal name.
    pub signal: String,
    /// Number of crashes.
    pub count: u64,
    /// First crash, milliseconds since the epoch.
    pub first_seen_ms: i64,
    /// Newest crash.
    pub last_seen_ms: i64,
    /// Distinct images (references), most frequent first, at most 20.
    pub images: Vec<Count>,
    /// Distinct container names, most frequent first, at most 20.
    pub containers: Vec<Count>,
    /// Distinct hosts.
    pub hosts: Vec<Count>,
    /// Distinct executables.
    pub executables: Vec<Count>,
    /// Crashes per bucket over the window asked for, oldest first (for sparklines).
    pub histogram: Vec<u64>,
    /// Newest dump of the group.
    pub latest: DumpId,
}

/// A value and how often it occurs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The value.
    pub value: String,
    /// Occurrences.
    pub count: u64,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Hand this back to get the next page; `None` on the last.
    pub next_cursor: Option<String>,
    /// How far back the search went for this page, milliseconds since the epoch, when it stopped
    /// before the page was full so as to answer soon. The next page goes on from there, and an
    /// empty one says nothing about what is beyond. Without a next page words that are common were
    /// looked for in crashes since then alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub searched_to_ms: Option<i64>,
}

/// Which page.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// At most so many items; 0 means the default (100), more than 1,000 is 1,000.
    pub limit: usize,
    /// From the previous page.
    pub cursor: Option<String>,
}

/// Items on a page unless asked otherwise.
const DEFAULT_LIMIT: usize = 100;
/// The most items on a page.
const GREATEST_LIMIT: usize = 1000;

impl PageRequest {
    /// The number of items that the page has room for.
    pub fn size(&self) -> usize {
        match self.limit {
            0 => DEFAULT_LIMIT,
            limit => limit.min(GREATEST_LIMIT),
        }
    }
}

/// What the store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Dumps.
    pub dumps: u64,
    /// Groups.
    pub groups: u64,
    /// Dumps that wait for analysis or are in it.
    pub pending: u64,
    /// Dumps whose analysis failed.
    pub failed: u64,
    /// Pinned dumps.
    #[serde(default)]
    pub pinned: u64,
    /// Oldest waiting job's age, milliseconds.
    pub oldest_pending_ms: Option<u64>,
    /// Bytes of cores on disk.
    pub core_bytes: u64,
    /// Bytes of modules on disk.
    pub module_bytes: u64,
    /// Modules.
    pub modules: u64,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Bytes free on the file system of the state directory.
    pub free_bytes: u64,
}
