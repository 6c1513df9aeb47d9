//! The governor's memory: a file of slots, one for each level something crashed at lately.
//!
//! It has a fixed size however many names a program crashes under. A slot is found by the hash of
//! its level; where all places for it are taken, the one that has not crashed for longest gives
//! way. The file lies in the daemon's directory: what it holds decides about amounts, nothing else.

use super::{GovernorSettings, Kind, Level, Tally, admit, levels};
use crate::bounded::{open_dir, read_at};
use crate::layout::GOVERNOR;
use crate::policy::Ceiling;
use crate::record::{Policy, Record};
use rustix::fs::{FileType, FlockOperation, Gid, Mode, OFlags, Uid};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// Slots of the table.
pub const TABLE_SLOTS: u64 = 4096;
/// Bytes of a slot: JSON, filled up with spaces. Three names of 200 bytes fit however they are escaped.
const SLOT: usize = 2048;
/// Places a level may have.
const PLACES: u64 = 8;
/// How often and how long apart the lock is tried, while a process is held: in all a quarter of a second.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(5);

/// A slot in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// What crashed.
    pub kind: Kind,
    /// How many times the settings' numbers it may have.
    pub share: u32,
    /// What happened to it.
    pub tally: Tally,
}

/// Counts the crash and says what it may keep. When the table cannot be used, the crash is kept
/// lean at most: better one dump too small than a full disk.
pub(crate) fn consult(
    state_dir: &Path,
    record: &Record,
    asked: Policy,
    settings: &GovernorSettings,
    now_ms: i64,
) -> Result<Ceiling, io::Error> {
    let table = Table::open(state_dir, true)?;
    table.lock(FlockOperation::NonBlockingLockExclusive)?;
    let levels = levels(record);
    let mut places = Vec::new();
    for level in &levels {
        places.push(table.place(level)?);
    }
    let mut tallies: Vec<Tally> = places.iter().map(|(_, tally)| tally.clone()).collect();
    let ceiling = admit(&levels, &mut tallies, asked, settings, now_ms);
    for ((level, (at, _)), tally) in levels.into_iter().zip(places).zip(tallies) {
        let slot = Slot {
            kind: level.kind,
            share: level.share,
            tally,
        };
        table.write(at, Some(&slot))?;
    }
    Ok(ceiling)
}

/// Everything that is counted, the last to crash first; nothing when nothing ever crashed.
///
/// # Errors
/// When the table is there and cannot be read.
pub fn read_loops(state_dir: &Path) -> io::Result<Vec<Slot>> {
    let table = match Table::open(state_dir, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        table => table?,
    };
    table.lock(FlockOperation::NonBlockingLockShared)?;
    let mut slots = Vec::new();
    for at in 0..TABLE_SLOTS {
        slots.extend(table.read(at)?);
    }
    slots.sort_by_key(|slot| std::cmp::Reverse(slot.tally.last_ms));
    Ok(slots)
}

/// Forgets what has the key, or everything; returns how many were forgotten.
///
/// # Errors
/// When the table is there and cannot be changed.
pub fn reset(state_dir: &Path, key: Option<&str>) -> io::Result<u64> {
    let table = match Table::open(state_dir, false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        table => table?,
    };
    table.lock(FlockOperation::NonBlockingLockExclusive)?;
    let mut forgotten = 0u64;
    for at in 0..TABLE_SLOTS {
        let Some(slot) = table.read(at)? else {
            continue;
        };
        if key.is_none_or(|key| slot.kind.key() == key) {
            table.write(at, None)?;
            forgotten = forgotten.saturating_add(1);
        }
    }
    Ok(forgotten)
}

struct Table(File);

impl Table {
    fn open(state_dir: &Path, make: bool) -> io::Result<Self> {
        let directory = open_dir(state_dir)?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let mode = Mode::RUSR | Mode::WUSR;
        let opened = match rustix::fs::openat(&directory, GOVERNOR, flags, mode) {
            Err(rustix::io::Errno::NOENT) if make => {
                let made = flags | OFlags::CREATE | OFlags::EXCL;
                match rustix::fs::openat(&directory, GOVERNOR, made, mode) {
                    // Another helper was faster.
                    Err(rustix::io::Errno::EXIST) => {
                        rustix::fs::openat(&directory, GOVERNOR, flags, mode)?
                    }
                    made => {
                        let made = made?;
                        give_to_owner(&made, &directory);
                        made
                    }
                }
            }
            opened => opened?,
        };
        let stat = rustix::fs::fstat(&opened)?;
        let owners = [rustix::fs::fstat(&directory)?.st_uid, 0];
        // Writing as root into what somebody linked here would be writing anywhere.
        let ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_nlink == 1
            && owners.contains(&stat.st_uid);
        if ours {
            Ok(Self(File::from(opened)))
        } else {
            Err(io::Error::other("it is not a file of the service"))
        }
    }

    fn lock(&self, how: FlockOperation) -> io::Result<()> {
        for _ in 1..TRIES {
            match rustix::fs::flock(&self.0, how) {
                Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
                done => return Ok(done?),
            }
        }
        Ok(rustix::fs::flock(&self.0, how)?)
    }

    /// Where a level is counted, and what stands there of it.
    fn place(&self, level: &Level) -> io::Result<(u64, Tally)> {
        let hash = u64::from_str_radix(&level.kind.key(), 16).unwrap_or(0);
        let mut poorest: Option<(i64, u64)> = None;
        for step in 0..PLACES {
            let at = hash.wrapping_add(step) % TABLE_SLOTS;
            let slot = self.read(at)?;
            match slot {
                Some(slot) if slot.kind == level.kind => return Ok((at, slot.tally)),
                slot => {
                    let age = slot.map_or(i64::MIN, |slot| slot.tally.last_ms);
                    if poorest.is_none_or(|(oldest, _)| age < oldest) {
                        poorest = Some((age, at));
                    }
                }
            }
        }
        let at = poorest.map_or(hash % TABLE_SLOTS, |(_, at)| at);
        Ok((at, Tally::default()))
    }

    /// The slot; `None` when it is empty or damaged.
    fn read(&self, at: u64) -> io::Result<Option<Slot>> {
        let bytes = read_at(&self.0, offset(at), SLOT)?;
        Ok(serde_json::from_slice(&bytes).ok())
    }

    fn write(&self, at: u64, slot: Option<&Slot>) -> io::Result<()> {
        let mut bytes = match slot {
            Some(slot) => serde_json::to_vec(slot)?,
            None => Vec::new(),
        };
        if bytes.len() > SLOT {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.resize(SLOT, b' ');
        std::os::unix::fs::FileExt::write_all_at(&self.0, &bytes, offset(at))
    }
}

fn offset(at: u64) -> u64 {
    at.saturating_mul(u64::try_from(SLOT).unwrap_or(0))
}

/// The daemon reads and resets what the helper, which is root, has made.
fn give_to_owner(file: &OwnedFd, directory: &OwnedFd) {
    if let Ok(stat) = rustix::fs::fstat(directory) {
        let owner = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        let _ = rustix::fs::fchown(file.as_fd(), Some(owner.0), Some(owner.1));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;

    fn crash(executable: &str) -> Record {
        let mut record = Record {
            unit: Some("shop.service".to_owned()),
            ..Record::default()
        };
        record.process.executable = Some(executable.to_owned());
        record
    }

    fn consulted(state: &Path, executable: &str, now_ms: i64) -> Policy {
        let settings = GovernorSettings::default();
        let ceiling = consult(state, &crash(executable), Policy::Full, &settings, now_ms);
        ceiling.unwrap().policy
    }

    #[test]
    fn it_remembers_and_forgets() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(read_loops(state.path()).unwrap(), []);
        assert_eq!(reset(state.path(), None).unwrap(), 0);
        let kept: Vec<_> = (0..5)
            .map(|now| consulted(state.path(), "/a", now))
            .collect();
        assert_eq!(kept[..3], [Policy::Full; 3]);
        assert_eq!(kept[3..], [Policy::Lean; 2]);
        assert_eq!(consulted(state.path(), "/b", 6), Policy::Full);
        let loops = read_loops(state.path()).unwrap();
        assert_eq!(loops.len(), 3);
        let looping = loops
            .iter()
            .find(|slot| slot.kind.executable == "/a")
            .unwrap();
        assert_eq!(looping.tally.crashes, 5);
        assert_eq!(reset(state.path(), Some(&looping.kind.key())).unwrap(), 1);
        assert_eq!(consulted(state.path(), "/a", 7), Policy::Full);
        assert_eq!(reset(state.path(), None).unwrap(), 3);
    }

    #[test]
    fn ever_new_names_neither_grow_it_nor_get_around_it() {
        let state = tempfile::tempdir().unwrap();
        let whole = (0..300)
            .filter(|name| consulted(state.path(), &format!("/tmp/{name}"), *name) == Policy::Full)
            .count();
        assert_eq!(whole, 48, "sixteen times the three of one executable");
        let size = fs::metadata(state.path().join(GOVERNOR)).unwrap().len();
        assert!(size <= TABLE_SLOTS * 2048);
    }

    #[test]
    fn names_however_escaped_fit_a_slot() {
        let state = tempfile::tempdir().unwrap();
        for name in ["\"\\\u{1}\u{7f}".repeat(5000), "ü\u{202e}".repeat(5000)] {
            assert_eq!(consulted(state.path(), &name, 1), Policy::Full);
        }
    }

    #[test]
    fn damage_is_a_fresh_start_and_links_are_refused() {
        let state = tempfile::tempdir().unwrap();
        let table = state.path().join(GOVERNOR);
        fs::write(&table, "{".repeat(100_000)).unwrap();
        assert_eq!(consulted(state.path(), "/a", 1), Policy::Full);
        let precious = state.path().join("precious");
        fs::write(&precious, "x").unwrap();
        for link in [fs::hard_link, |from, to| {
            std::os::unix::fs::symlink(from, to)
        }] {
            fs::remove_file(&table).unwrap();
            link(&precious, &table).unwrap();
            let settings = GovernorSettings::default();
            assert!(consult(state.path(), &crash("/a"), Policy::Full, &settings, 1).is_err());
            assert_eq!(fs::read(&precious).unwrap(), b"x");
        }
    }

    #[test]
    fn many_at_once_are_all_counted() {
        let state = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for now in 0..20 {
                        consulted(state.path(), "/a", now);
                    }
                });
            }
        });
        let loops = read_loops(state.path()).unwrap();
        assert!(
            loops.iter().all(|slot| slot.tally.crashes == 160),
            "{loops:?}"
        );
    }
}
