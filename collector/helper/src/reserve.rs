//! Disk space held ready, so that a crash is recorded on a full disk: a file of the state
//! directory that the helper cuts shorter when nothing else is left, and the daemon makes whole
//! again when there is room.

use crate::bounded::open_dir;
use crate::layout::RESERVE;
use rustix::fs::{FallocateFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What is given up at a time: room for several records.
const PIECE: u64 = 1 << 20;

/// Gives a piece of the reserve back to the file system. Returns whether there was any left.
///
/// The directory is the daemon's, which is not root, and a root helper shortens a file there: only
/// one that belongs to the directory's owner or to us and has no other name, so that it can never
/// be the file of somebody else under a hard link.
pub fn give(state_dir: &Path) -> bool {
    let shorten = || -> io::Result<bool> {
        let Some((file, length)) = open(&open_dir(state_dir)?, OFlags::WRONLY)? else {
            return Ok(false);
        };
        rustix::fs::ftruncate(&file, length.saturating_sub(PIECE))?;
        rustix::fs::fsync(&file)?;
        Ok(length > 0)
    };
    shorten().unwrap_or(false)
}

/// Bytes held in reserve now.
pub fn held(state_dir: &Path) -> u64 {
    let look = || open(&open_dir(state_dir)?, OFlags::RDONLY);
    look().ok().flatten().map_or(0, |(_, length)| length)
}

/// Makes the reserve `bytes` long: blocks are taken, not just the name. One that is longer is cut.
pub fn fill(state_dir: &Path, bytes: u64) -> io::Result<()> {
    let state = open_dir(state_dir)?;
    let flags = OFlags::RDWR | OFlags::CREATE;
    let (file, length) = open(&state, flags)?
        .ok_or_else(|| io::Error::other("the reserve is a file of somebody else"))?;
    if length >= bytes {
        return Ok(rustix::fs::ftruncate(&file, bytes)?);
    }
    if rustix::process::geteuid().is_root() {
        // The daemon's user must be able to make it whole.
        let owner = rustix::fs::fstat(&state)?;
        let (user, group) = (Uid::from_raw(owner.st_uid), Gid::from_raw(owner.st_gid));
        rustix::fs::fchown(&file, Some(user), Some(group))?;
    }
    let filled = match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        // Some file systems cannot, and the C library's stand-in would write zeros as well.
        Err(Errno::OPNOTSUPP) => write_zeros(&file, bytes),
        other => Ok(other?),
    };
    if filled.is_err() {
        // Half of a reserve that does not fit would only make a full disk fuller.
        rustix::fs::ftruncate(&file, length)?;
    }
    filled?;
    file.sync_all()
}

fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut file)?;
    file.flush()
}

/// The reserve and its length; `None` when there is none, or it is not one we may shorten.
fn open(state: &OwnedFd, flags: OFlags) -> io::Result<Option<(File, u64)>> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match rustix::fs::openat(state, RESERVE, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let owner = rustix::fs::fstat(state.as_fd())?.st_uid;
    let stat = rustix::fs::fstat(&file)?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let ours = stat.st_uid == owner || stat.st_uid == rustix::process::geteuid().as_raw();
    let length = u64::try_from(stat.st_size).unwrap_or(0);
    Ok((regular && ours && stat.st_nlink == 1).then(|| (File::from(file), length)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn it_is_given_up_in_pieces_and_made_whole_again() {
        let state = tempfile::tempdir().unwrap();
        assert!(!give(state.path()));
        fill(state.path(), PIECE * 2 + 5).unwrap();
        let file = state.path().join(RESERVE);
        let blocks = fs::metadata(&file).unwrap().blocks() * 512;
        assert!(blocks >= PIECE * 2, "{blocks} bytes are taken");
        let mut left = vec![];
        while give(state.path()) {
            left.push(held(state.path()));
        }
        assert_eq!(left, [PIECE + 5, 5, 0]);
        fill(state.path(), PIECE).unwrap();
        assert_eq!(held(state.path()), PIECE);
        fill(state.path(), 10).unwrap();
        assert_eq!(held(state.path()), 10);
    }

    #[test]
    fn what_somebody_put_in_its_place_is_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let victim = temp.path().join("victim");
        let file = temp.path().join(RESERVE);
        let untouched = || fs::read(&victim).unwrap() == b"precious";
        fs::write(&victim, "precious").unwrap();
        fs::hard_link(&victim, &file).unwrap();
        assert!(!give(temp.path()) && fill(temp.path(), 1).is_err() && untouched());
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&victim, &file).unwrap();
        assert!(!give(temp.path()) && fill(temp.path(), 1).is_err() && untouched());
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(!give(temp.path()) && fill(temp.path(), 1).is_err());
        assert_eq!(held(temp.path()), 0);
    }
}
