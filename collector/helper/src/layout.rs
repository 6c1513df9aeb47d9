//! Where things are: the directories and file names that helper and daemon agree on.
//!
//! ```text
//! /var/lib/aground/                 0700, owned by the daemon's user
//!   spool/incoming/<dump id>/       being written; the helper holds a lock (flock) on the directory
//!   spool/turn.<n>                  locked by a helper that takes a whole core
//!   spool/ready/<dump id>/          complete; moved here by rename
//!     record.json                   record::Record
//!     core.zst                      seekable zstd; absent when no memory was kept
//!     log.txt                       tail of the container's log, when there was one
//!     modules/<sha256>              mapped ELF files that the module store did not have
//!     private/<sha256>              those that only root may read, beside such a core
//!   dumps/<dump id>/                record.json core.zst log.txt report.json private/ (daemon)
//!     state.json                    what became of it since: pinned, memory given up (daemon)
//!   importing/<n>/                  a core that is being handed in (daemon)
//!   modules/<2 digits>/<sha256>     every mapped ELF file once, named by its content (daemon)
//!   aground.db                      metadata (daemon)
//!   changes.jsonl                   what was decided about groups (daemon)
//!   governor.table                  crash loops and what they may still keep (helper)
//!   capture.json                    what to keep of which crash: settings::Settings (daemon)
//!   reserve                         disk space for records on a full disk (reserve.rs)
//!   previous.json                   kernel settings as `aground install` found them; root's, 0400
//! ```

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// The default state directory.
pub const STATE_DIR: &str = "/var/lib/aground";
/// Where the record alone goes when the state directory cannot be written; laid out like it, and
/// its owner's. One for each state directory, straight beneath `/run`, which only root can write:
/// nobody can put a link there.
pub fn fallback_dir(state_dir: &Path) -> PathBuf {
    let mut name = OsString::from("aground-fallback");
    if state_dir != Path::new(STATE_DIR) {
        for part in state_dir.components() {
            if let Component::Normal(part) = part {
                name.push("-");
                name.push(part);
            }
        }
    }
    let name: Vec<u8> = name.into_vec().into_iter().take(LONGEST_NAME).collect();
    Path::new("/run").join(OsString::from_vec(name))
}

/// Longest file name, bytes (`NAME_MAX`).
const LONGEST_NAME: usize = 255;
/// The default runtime directory (sockets).
pub const RUNTIME_DIR: &str = "/run/aground";
/// The spool, below the state directory.
pub const SPOOL: &str = "spool";
/// Spool entries that are being written, below the state directory.
pub const INCOMING: &str = "spool/incoming";
/// Spool entries that are complete, below the state directory.
pub const READY: &str = "spool/ready";
/// Cores that are being handed in, below the state directory.
pub const IMPORTING: &str = "importing";
/// What was decided about groups, below the state directory.
pub const CHANGES: &str = "changes.jsonl";
/// Dumps the daemon has taken in, below the state directory.
pub const DUMPS: &str = "dumps";
/// The module store, below the state directory; also the folder of new modules in an entry.
pub const MODULES: &str = "modules";
/// Modules that only root may read, beside the core of their dump.
pub const PRIVATE_MODULES: &str = "private";
/// Symbols that were uploaded, by build ID, below the state directory.
pub const SYMBOLS: &str = "symbols";
/// What was found out about builds, to save time.
pub const NAMES: &str = "names";
/// The record's file name.
pub const RECORD: &str = "record.json";
/// The compressed core's file name.
pub const CORE: &str = "core.zst";
/// The container log tail's file name.
pub const LOG: &str = "log.txt";
/// The report's file name.
pub const REPORT: &str = "report.json";
/// The name of the file that says what became of a dump since its capture.
pub const STATE: &str = "state.json";
/// The file whose space is given up for records on a full disk.
pub const RESERVE: &str = "reserve";
/// The database's file name.
pub const DATABASE: &str = "aground.db";
/// What to keep of which crash, written by the daemon and read by the helper.
pub const CAPTURE: &str = "capture.json";
/// Crash loops and what they may still keep: [`crate::governor`].
pub const GOVERNOR: &str = "governor.table";
/// Where `aground install` keeps the kernel settings it replaced.
pub const PREVIOUS: &str = "previous.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_directory_has_a_fallback_of_its_own() {
        let check = |state: &str, expected: &str| {
            assert_eq!(
                fallback_dir(Path::new(state)),
                Path::new(expected),
                "{state}"
            );
        };
        check(STATE_DIR, "/run/aground-fallback");
        check("/var/lib/aground/", "/run/aground-fallback");
        check("/srv/a/../b", "/run/aground-fallback-srv-a-b");
        check("", "/run/aground-fallback");
        let long = format!("/{}", "x/".repeat(400));
        let name = fallback_dir(Path::new(&long));
        assert_eq!(name.as_os_str().len(), "/run/".len() + LONGEST_NAME);
    }
}
