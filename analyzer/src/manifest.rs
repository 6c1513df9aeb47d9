//! What the daemon hands a worker: facts of the record and numbers of open files.
//!
//! The worker (`aground-analyzer worker`) reads one [`Manifest`] as JSON from standard input and
//! writes one [`crate::analyze::Conclusion`] as JSON to standard output. Before it, drafts of its
//! report, each ended by [`DRAFT_END`]: whoever has to stop a worker has the latest of them. Files
//! come as open, read-only file descriptors; the worker opens nothing itself.
//!
//! Another worker (`aground-analyzer names`) is handed a manifest without a core, with questions
//! about its modules, and writes the answers.

use crate::report::ProcessFacts;
use crate::symbols::known::Questions;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The byte after each draft: the record separator, which JSON cannot contain.
pub const DRAFT_END: u8 = 0x1e;

/// The worker's task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Descriptor of the core: an ELF core, plain or as seekable zstd; `None` when no memory was kept.
    pub core_fd: Option<i32>,
    /// What is known without the core. Facts in the core win where both speak.
    pub process: ProcessFacts,
    /// Crashed thread's id in the initial namespace, when the kernel said it.
    pub crashed_tid: Option<i32>,
    /// Thread names by thread id (as the core numbers threads).
    #[serde(default)]
    pub thread_names: BTreeMap<i32, String>,
    /// The ELF files that were taken from the process.
    #[serde(default)]
    pub modules: Vec<ModuleFile>,
    /// Files of separate debug information that belong to its modules.
    #[serde(default)]
    pub debug_files: Vec<DebugFile>,
    /// Whether the core is known to be cut.
    #[serde(default)]
    pub truncated: bool,
    /// Whether the report may hold no excerpts of memory, since none of it is kept.
    #[serde(default)]
    pub withhold_memory: bool,
}

/// A file of separate debug information.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugFile {
    /// Its build ID, lowercase hexadecimal: that of the module it describes, or its own where
    /// several debug files share it.
    pub build_id: String,
    /// Its descriptor.
    pub fd: i32,
    /// Where it came from.
    #[serde(default)]
    pub source: DebugSource,
}

/// Where a file of separate debug information came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DebugSource {
    /// Somebody handed it in.
    #[default]
    Uploaded,
    /// A debuginfod server sent it.
    Debuginfod,
    /// The crashed container had it.
    Captured,
}

impl DebugSource {
    /// The word in a report's `debug_from`.
    pub fn as_str(self) -> &'static str {
        match self {
            DebugSource::Uploaded => "uploaded",
            DebugSource::Debuginfod => "debuginfod",
            DebugSource::Captured => "captured",
        }
    }
}

/// An ELF file taken from the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleFile {
    /// Path as the process saw it.
    pub path: String,
    /// Lowest mapped address.
    pub base: u64,
    /// First address after the last mapping.
    pub end: u64,
    /// Build ID of the file, lowercase hexadecimal.
    pub build_id: Option<String>,
    /// Descriptor of the file; `None` when it could not be taken.
    pub fd: Option<i32>,
    /// Whether what is found out about its code is kept for later analyses.
    #[serde(default)]
    pub is_remembered: bool,
    /// Descriptor of what was found out before: [`crate::symbols::known::Known`] as JSON.
    #[serde(default)]
    pub known_fd: Option<i32>,
    /// What is to be found out, by a worker without a core.
    #[serde(default)]
    pub questions: Option<Questions>,
}
