//! Where things are: the directories and file names that helper and daemon agree on.
//!
//! ```text
//! /var/lib/aground/                 0700, owned by the daemon's user
//!   spool/incoming/<dump id>/       being written; the helper holds a lock (flock) on the directory
//!   spool/ready/<dump id>/          complete; moved here by rename
//!     record.json                   record::Record
//!     core.zst                      seekable zstd; absent when no memory was kept
//!     log.txt                       tail of the container's log, when there was one
//!     modules/<sha256>              mapped ELF files that the module store did not have
//!   dumps/<dump id>/                record.json core.zst log.txt report.json (daemon)
//!   modules/<2 digits>/<sha256>     every mapped ELF file once, named by its content (daemon)
//!   aground.db                      metadata (daemon)
//!   previous.json                   kernel settings as `aground install` found them
//! ```

/// The default state directory.
pub const STATE_DIR: &str = "/var/lib/aground";
/// Where the record alone goes when the state directory cannot be written; laid out like it, and
/// its owner's. Straight beneath `/run`, which only root can write: nobody can put a link there.
pub const FALLBACK_DIR: &str = "/run/aground-fallback";
/// The default runtime directory (sockets).
pub const RUNTIME_DIR: &str = "/run/aground";
/// Spool entries that are being written, below the state directory.
pub const INCOMING: &str = "spool/incoming";
/// Spool entries that are complete, below the state directory.
pub const READY: &str = "spool/ready";
/// Dumps the daemon has taken in, below the state directory.
pub const DUMPS: &str = "dumps";
/// The module store, below the state directory; also the folder of new modules in an entry.
pub const MODULES: &str = "modules";
/// The record's file name.
pub const RECORD: &str = "record.json";
/// The compressed core's file name.
pub const CORE: &str = "core.zst";
/// The container log tail's file name.
pub const LOG: &str = "log.txt";
/// The report's file name.
pub const REPORT: &str = "report.json";
/// The database's file name.
pub const DATABASE: &str = "aground.db";
/// Where `aground install` keeps the kernel settings it replaced.
pub const PREVIOUS: &str = "previous.json";
