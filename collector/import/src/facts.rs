//! What a core says about its process, in the words of the daemon.

use aground_analyzer::dump::Core;
use aground_helper::text::escape_bytes;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Mapped files that are listed.
const MAX_FILES: usize = 4096;
/// Bytes kept of a path: `PATH_MAX`.
const MAX_PATH: usize = 4096;
/// Bytes kept of name and arguments; the note has 16 and 80.
const MAX_WORDS: usize = 200;

/// A core that was stored, and what it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// SHA-256 of the core without compression, lowercase hexadecimal.
    pub sha256: String,
    /// Size that its program headers announce, bytes.
    pub announced: u64,
    /// Bytes that came.
    pub seen: u64,
    /// Bytes stored, before compression.
    pub kept: u64,
    /// Bytes of the stored file.
    pub stored: u64,
    /// Why reading stopped before the end, a sentence.
    pub stopped: Option<String>,
    /// The signal, 0 when the core names none.
    pub signal: i32,
    /// Process id as the core has it.
    pub pid: Option<i32>,
    /// Id of the thread that got the signal.
    pub tid: Option<i32>,
    /// Name of the process.
    pub name: Option<String>,
    /// The beginning of its command line.
    pub arguments: Option<String>,
    /// Number of threads.
    pub threads: u64,
    /// The machine, as `uname -m` calls it.
    pub arch: String,
    /// Mapped files, the first [`MAX_FILES`] of them.
    pub files: Vec<MappedFile>,
}

/// A file the process had mapped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MappedFile {
    /// Its path as the process saw it.
    pub path: String,
    /// Lowest address.
    pub base: u64,
    /// First address after the last mapping.
    pub end: u64,
}

impl Imported {
    /// Adds what headers and notes of the core say.
    pub fn describe(&mut self, core: &Core) {
        let notes = &core.notes;
        let first = notes.threads.first();
        let siginfo = notes.siginfo.map(|info| info.number);
        self.signal = siginfo
            .filter(|number| *number != 0)
            .or(first.map(|thread| thread.signal))
            .unwrap_or(0);
        self.tid = first.map(|thread| thread.tid);
        if let Some(process) = &notes.psinfo {
            let words = |text: &str| {
                let text = escape_bytes(text.trim().as_bytes(), MAX_WORDS);
                (!text.is_empty()).then_some(text)
            };
            self.pid = Some(process.pid);
            self.name = words(&process.name);
            self.arguments = words(&process.arguments);
        }
        self.threads = notes.threads.len() as u64;
        core.arch.name.clone_into(&mut self.arch);
        let mut known = HashMap::new();
        for mapping in &notes.files {
            let next = known.len();
            if next >= MAX_FILES {
                break;
            }
            let index = *known.entry(&mapping.path).or_insert(next);
            match self.files.get_mut(index) {
                Some(file) => {
                    file.base = file.base.min(mapping.start);
                    file.end = file.end.max(mapping.end);
                }
                None => self.files.push(MappedFile {
                    path: escape_bytes(mapping.path.as_bytes(), MAX_PATH),
                    base: mapping.start,
                    end: mapping.end,
                }),
            }
        }
    }
}
