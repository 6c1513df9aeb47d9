//! What was known at the time of death, frozen: `record.json`.
//!
//! The helper writes the record once before it reads memory (so that a crash can no longer be
//! lost) and once more when the capture has ended. All texts come from hostile bytes through
//! [`crate::text::escape_bytes`]: valid UTF-8, bounded, nothing else promised.

mod container;
mod context;

pub use container::{
    ClaimedContainer, Confidence, Container, Evidence, EvidenceKind, IdentitySource,
};
pub use context::{Context, Cpu, Mount, Resources, Security, Socket};

use crate::id::DumpId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of this file's format. Readers accept unknown fields and older versions.
pub const RECORD_SCHEMA: u32 = 1;

/// Everything known about one crash without reading its memory.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`RECORD_SCHEMA`] of the writer.
    pub schema: u32,
    /// The dump's name.
    pub id: DumpId,
    /// When the helper started, milliseconds since the epoch.
    pub captured_at_ms: i64,
    /// The signal that killed the process.
    pub signal: Signal,
    /// What the kernel said in its arguments.
    pub kernel: KernelFacts,
    /// The process as /proc showed it.
    pub process: Process,
    /// The container it ran in; `None` for a process of the host.
    #[serde(default)]
    pub container: Option<Container>,
    /// The systemd unit (or other cgroup leaf) for processes that ran in no container.
    #[serde(default)]
    pub unit: Option<String>,
    /// What surrounded the process.
    #[serde(default)]
    pub context: Context,
    /// The machine.
    pub host: Host,
    /// How the memory was taken, and what was not kept.
    pub capture: Capture,
    /// The ELF files the process had mapped.
    #[serde(default)]
    pub modules: Vec<Module>,
    /// Debug files of those that the container had below `/usr/lib/debug`, when they were asked
    /// for. They were not mapped: base and end are 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub debug_files: Vec<Module>,
    /// Where the core came from, when it was handed in and not caught by us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
    /// What could not be learned and why, a sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
}

/// Where a core came from that was handed in. Name, time, host and ids of such a record are what
/// the core and whoever handed it in say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The file's name as it was given; `None` for a stream without one.
    pub file: Option<String>,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// SHA-256 of the core without compression, lowercase hexadecimal. The dump's id is its beginning.
    pub sha256: String,
}

/// A signal by number and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// The number, as the kernel numbers it on this machine.
    pub number: i32,
    /// The name, such as `SIGSEGV`; `SIG<number>` for one without a name.
    pub name: String,
}

/// The expanded `core_pattern` arguments (fs/coredump.c, `format_corename`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KernelFacts {
    /// Process id in the initial namespace (`%P`).
    pub pid: i32,
    /// The crashing thread's id in the initial namespace (`%I`).
    pub tid: Option<i32>,
    /// The crashing thread's id in its own namespace (`%i`).
    pub namespace_tid: Option<i32>,
    /// Real user id in the initial user namespace (`%u`).
    pub uid: Option<u32>,
    /// Real group id in the initial user namespace (`%g`).
    pub gid: Option<u32>,
    /// `PR_GET_DUMPABLE` at death (`%d`): 0 no, 1 by its owner, 2 by root only.
    pub dumpable: Option<u32>,
    /// Soft limit `RLIMIT_CORE` in bytes (`%c`).
    pub core_limit: Option<u64>,
    /// Time of death, seconds since the epoch (`%t`).
    pub time: Option<i64>,
    /// Whether the kernel handed us a pidfd (`%F`), so that the pid cannot be another's.
    pub pidfd: bool,
}

/// The process as /proc showed it while the kernel held it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// Process id in the initial namespace.
    pub pid: i32,
    /// Process id in its innermost namespace.
    pub namespace_pid: Option<i32>,
    /// Parent's process id in the initial namespace.
    pub parent_pid: Option<i32>,
    /// Name of the process (`comm`, at most 15 bytes).
    pub name: String,
    /// Path of the executable as seen from inside the container.
    pub executable: Option<String>,
    /// The command line.
    #[serde(default)]
    pub args: Vec<String>,
    /// Working directory as seen from inside.
    pub cwd: Option<String>,
    /// Environment, values of names that look like secrets replaced by `[redacted]`.
    #[serde(default)]
    pub environment: Vec<String>,
    /// Real, effective, saved and filesystem user ids in the initial namespace.
    pub uids: Option<[u32; 4]>,
    /// The same for groups.
    pub gids: Option<[u32; 4]>,
    /// When the process started, milliseconds since the epoch.
    pub started_at_ms: Option<i64>,
    /// Number of threads.
    pub threads: Option<u64>,
    /// Resident set at death, bytes.
    pub resident_bytes: Option<u64>,
    /// Address space size at death, bytes.
    pub virtual_bytes: Option<u64>,
    /// Thread names by thread id in the initial namespace.
    #[serde(default)]
    pub thread_names: BTreeMap<i32, String>,
    /// Of a process that lives in a namespace of process ids: its threads' ids there, as cores
    /// number them, by those in the initial namespace.
    #[serde(default)]
    pub namespace_tids: BTreeMap<i32, i32>,
    /// Lines of /proc/P/limits that differ from nothing: name, soft, hard, unit.
    #[serde(default)]
    pub limits: Vec<Limit>,
    /// Lines of /proc/P/cgroup as they stood.
    #[serde(default)]
    pub cgroup: Vec<String>,
    /// Open files: descriptor number and what it points at; at most 1,024.
    #[serde(default)]
    pub open_files: Vec<(i32, String)>,
    /// Whether the program was started with raised privileges (`AT_SECURE` in its auxiliary vector).
    pub secure: Option<bool>,
}

/// One resource limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Name as in /proc/P/limits, such as `Max open files`.
    pub name: String,
    /// Soft limit, `unlimited` or a number.
    pub soft: String,
    /// Hard limit.
    pub hard: String,
}

/// The machine the crash happened on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Hostname in the initial namespace.
    pub hostname: String,
    /// `/etc/machine-id`.
    pub machine_id: Option<String>,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Option<String>,
    /// Kernel release.
    pub kernel: String,
    /// Machine architecture as `uname -m` gives it.
    pub arch: String,
    /// Version of the helper.
    pub aground: String,
}

/// How memory was taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Capture {
    /// What the record's reader may count on.
    pub state: CaptureState,
    /// What was asked for: by a label, a rule or the default.
    #[serde(default)]
    pub policy: Policy,
    /// Who asked for it, such as `label aground.policy`; empty in records of older versions.
    #[serde(default)]
    pub policy_from: String,
    /// Who may read the memory.
    #[serde(default)]
    pub access: Access,
    /// Why only root may, a sentence; `None` when readers may.
    #[serde(default)]
    pub access_reason: Option<String>,
    /// Which way the memory was taken; `None` when none was.
    #[serde(default)]
    pub way: Option<Way>,
    /// What was kept of memory.
    pub kept: Kept,
    /// Why that and not more, a sentence; `None` when everything was kept.
    pub reason: Option<String>,
    /// How long the kernel held the process for us, microseconds; `None` until released.
    pub hold_us: Option<u64>,
    /// Size the core's program headers announce, bytes.
    pub core_size: Option<u64>,
    /// Bytes of core that arrived.
    pub bytes_seen: u64,
    /// Bytes of core kept, before compression.
    pub bytes_kept: u64,
    /// Bytes on disk after compression.
    pub bytes_stored: u64,
    /// Whether fewer bytes arrived than the headers announce.
    pub truncated: bool,
    /// What became of the crash with the handler that was there before; `None` when it was ours alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<Forwarded>,
}

/// Whether the handler that was there before gets a crash as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Forward {
    /// It does not hear of it.
    #[default]
    No,
    /// It gets the core, and what is kept here is kept.
    Also,
    /// It gets the core, and here is the record alone.
    Instead,
}

/// What the other handler was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarded {
    /// Its program.
    pub to: String,
    /// Whether no memory was to be kept here.
    pub instead: bool,
    /// Bytes of core it took.
    pub bytes: u64,
    /// Why that is not all, or what went wrong; `None` when it ended well.
    pub trouble: Option<String>,
}

/// The ways to the memory of a dead process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The kernel wrote it to us.
    Stream,
    /// We read it while the kernel waited.
    Memory,
    /// It was handed in as a file.
    Import,
}

/// How far the capture came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureState {
    /// The helper was still at work when this was written; in a dump taken in by the daemon it
    /// means that the helper was killed.
    #[default]
    Interrupted,
    /// The helper finished.
    Complete,
}

/// What to keep of a process's memory, from most to least.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// The whole core stream; what is too large for the limits becomes lean.
    #[default]
    Full,
    /// A valid core with all threads' registers and stacks, module data and what they point at.
    Lean,
    /// As lean, but memory is dropped as soon as the report exists.
    Trace,
    /// No memory.
    Record,
}

impl std::str::FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "full" => Self::Full,
            "lean" => Self::Lean,
            "trace" => Self::Trace,
            "record" => Self::Record,
            other => {
                let shown: String = other.chars().take(100).collect();
                return Err(format!("\"{shown}\" is not full, lean, trace or record"));
            }
        })
    }
}

/// Who may read the memory of a dump (`%d`, `AT_SECURE`, uids and gids).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Whoever may read dumps at all.
    #[default]
    Readers,
    /// Root on the host alone: the file belongs to root and the service cannot open it.
    Root,
}

/// What was kept of the process's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// The whole core stream.
    Full,
    /// A valid core of all threads' registers and stacks, module data and what they point at.
    Lean,
    /// A beginning of the core stream.
    Partial,
    /// No memory.
    #[default]
    None,
}

/// An ELF file the process had mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Path as seen from inside the container, as /proc/P/maps or the core gives it.
    pub path: String,
    /// Lowest mapped address.
    pub base: u64,
    /// First address after the last mapping.
    pub end: u64,
    /// GNU build ID in lowercase hexadecimal, from the file.
    pub build_id: Option<String>,
    /// SHA-256 of the file, lowercase hexadecimal; its name in the module store.
    pub sha256: Option<String>,
    /// File size in bytes.
    pub size: Option<u64>,
    /// Why the file could not be taken; `None` when it was.
    pub missing: Option<String>,
}
