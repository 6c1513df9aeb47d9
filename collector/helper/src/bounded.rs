//! Reads other people's files: never more than a limit, never through a link, never waiting
//! on a FIFO (CVE-2021-25684 hung apport on one).

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

/// Flags for reading something whose owner may be hostile.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY)
    .union(OFlags::NONBLOCK);

/// Opens the directory at `path`, following links: for paths an administrator chose.
pub fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        READ | OFlags::DIRECTORY,
        Mode::empty(),
    )?)
}

/// Opens the directory `name` beneath `dir`, refusing a link in its place.
pub fn open_dir_at(dir: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    Ok(rustix::fs::openat(
        dir,
        name,
        READ | OFlags::DIRECTORY | OFlags::NOFOLLOW,
        Mode::empty(),
    )?)
}

/// Opens the regular file `name` beneath `dir`, refusing links, FIFOs and devices.
pub fn open_regular_at(dir: impl AsFd, name: &str) -> io::Result<File> {
    let file = rustix::fs::openat(dir, name, READ | OFlags::NOFOLLOW, Mode::empty())?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    if kind == FileType::RegularFile {
        Ok(File::from(file))
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ))
    }
}

/// The first `limit` bytes of a /proc file beneath the directory `dir`, and whether there were more.
pub fn read_proc_at(dir: impl AsFd, name: &str, limit: usize) -> io::Result<(Vec<u8>, bool)> {
    let file = rustix::fs::openat(dir, name, READ | OFlags::NOFOLLOW, Mode::empty())?;
    read_up_to(File::from(file), limit)
}

/// The whole regular file `name` beneath `dir`; an error when it is longer than `limit`.
pub fn read_regular_at(dir: impl AsFd, name: &str, limit: usize) -> io::Result<Vec<u8>> {
    match read_up_to(open_regular_at(dir, name)?, limit)? {
        (bytes, false) => Ok(bytes),
        (_, true) => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("longer than {limit} bytes"),
        )),
    }
}

/// The first line of a small file at a fixed path of the host, as text.
pub fn first_line(path: &str) -> Option<String> {
    let (bytes, _) = read_up_to(File::open(path).ok()?, 4096).ok()?;
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    (!line.is_empty()).then(|| crate::text::escape_bytes(line, 4096))
}

/// The first `limit` bytes of an opened file, and whether there were more.
pub fn read_up_to(file: File, limit: usize) -> io::Result<(Vec<u8>, bool)> {
    // With room from the start most files are one read.
    let mut bytes = Vec::with_capacity(limit.saturating_add(1).min(16 * 1024));
    let ask = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(ask).read_to_end(&mut bytes)?;
    let more = bytes.len() > limit;
    bytes.truncate(limit);
    Ok((bytes, more))
}

/// Something whose bytes can be read at any place.
pub trait ReadAt {
    /// The `length` bytes from `offset`; fewer where it ends.
    fn read_at(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
}

impl ReadAt for File {
    fn read_at(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        read_at(self, offset, length)
    }
}

/// The `length` bytes of a file from `offset`; fewer where it ends.
pub fn read_at(file: &impl AsFd, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0usize;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
        match rustix::io::pread(file, room, at) {
            Ok(0) => break,
            Ok(read) => filled = filled.saturating_add(read),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Waits until there is something to read; `TimedOut` when that is not before `end`.
pub(crate) fn wait_until(source: BorrowedFd<'_>, end: Instant) -> io::Result<()> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut polled = [PollFd::new(&source, PollFlags::IN)];
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn links_fifos_and_long_files_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let dir = open_dir(temp.path()).unwrap();
        std::fs::write(temp.path().join("file"), b"twelve bytes").unwrap();
        std::os::unix::fs::symlink("file", temp.path().join("link")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(&dir, "fifo", fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(read_regular_at(&dir, "file", 12).unwrap(), b"twelve bytes");
        assert!(read_regular_at(&dir, "file", 11).is_err());
        assert!(read_regular_at(&dir, "link", 100).is_err());
        assert!(read_regular_at(&dir, "fifo", 100).is_err());
        assert_eq!(
            read_proc_at(&dir, "file", 6).unwrap(),
            (b"twelve".to_vec(), true)
        );
    }
}
