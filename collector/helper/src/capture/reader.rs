//! Reads the container's files in a child process, because they may never answer.
//!
//! A file can lie on a FUSE or network mount whose server hangs (lazily loading snapshotters such
//! as stargz and SOCI, or the container's own). Whoever waits for such a server cannot be
//! interrupted, not even by SIGKILL, and a process cannot end while one of its threads does. So
//! a child opens and reads, we ask it over a socket, and when no answer comes in time we leave it
//! behind with nothing but the descriptors of those files.

use crate::bounded::{ReadAt, wait_until};
use crate::sys;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitOptions};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long one answer may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// So many devices may hang before no other is tried.
const MOST_HANGING: usize = 3;
/// Most bytes of one answer.
const MOST: usize = 256 * 1024;
/// Bytes of a question: number of the file, offset, length (0 asks for the file's facts).
const QUESTION: usize = 24;
/// Bytes before an answer: error number and length.
const ANSWER: usize = 8;

/// A file held without having been opened (`O_PATH`): that asks nothing of its file system.
#[derive(Debug)]
pub(crate) struct HeldFile {
    /// The descriptor.
    pub(crate) fd: OwnedFd,
    /// What tells its file system from others: those that share it hang together.
    pub(crate) device: Vec<u8>,
    /// Where the file lies if the descriptor is that of a root directory: looked up when it is
    /// read, inside that root, whatever links say.
    pub(crate) beneath: Option<String>,
}

impl HeldFile {
    /// The file itself; only the child may look one up.
    fn reach(&self) -> io::Result<OwnedFd> {
        let Some(path) = &self.beneath else {
            return self.fd.try_clone();
        };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve)?;
        Ok(file)
    }
}

/// Facts of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Bytes.
    pub(crate) size: u64,
    /// Type and permissions (`st_mode`).
    pub(crate) mode: u32,
}

/// Reads from held files, each answer in bounded time.
pub(crate) struct Reader<'f> {
    files: Vec<&'f HeldFile>,
    child: Option<Child>,
    hanging: BTreeSet<&'f [u8]>,
    patience: Duration,
}

impl<'f> Reader<'f> {
    /// A reader of `files`, which are named by their place in it.
    pub(crate) fn new(files: Vec<&'f HeldFile>, patience: Duration) -> Self {
        Self {
            files,
            child: None,
            hanging: BTreeSet::new(),
            patience,
        }
    }

    /// The facts of a file.
    pub(crate) fn look(&mut self, file: usize) -> io::Result<Look> {
        let bytes = self.ask(file, 0, 0)?;
        let look = bytes.split_at_checked(8).and_then(|(size, mode)| {
            Some(Look {
                size: u64::from_ne_bytes(size.try_into().ok()?),
                mode: u32::from_ne_bytes(mode.try_into().ok()?),
            })
        });
        look.ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Reads of one file.
    pub(crate) fn file(&mut self, file: usize) -> FileOf<'_, 'f> {
        FileOf { reader: self, file }
    }

    fn ask(&mut self, file: usize, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let files = &self.files;
        let held = files.get(file).ok_or(io::ErrorKind::NotFound)?;
        if self.hanging.contains(held.device.as_slice()) || self.hanging.len() >= MOST_HANGING {
            return Err(self.too_long());
        }
        let child = match &mut self.child {
            Some(child) => child,
            none => none.insert(Child::start(files)?),
        };
        match child.ask(file, offset, length, self.patience) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                self.hanging.insert(&held.device);
                self.child = None;
                Err(self.too_long())
            }
            answer => answer,
        }
    }

    fn too_long(&self) -> io::Error {
        let seconds = self.patience.as_secs();
        io::Error::new(
            io::ErrorKind::TimedOut,
            format!("its file system did not answer within {seconds} seconds"),
        )
    }
}

/// One of a reader's files.
pub(crate) struct FileOf<'r, 'f> {
    reader: &'r mut Reader<'f>,
    file: usize,
}

impl ReadAt for FileOf<'_, '_> {
    fn read_at(&mut self, mut offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let piece = length.saturating_sub(bytes.len()).min(MOST);
            let read = self.reader.ask(self.file, offset, piece)?;
            if read.is_empty() {
                break;
            }
            offset = offset.saturating_add(u64::try_from(read.len()).unwrap_or(u64::MAX));
            bytes.extend(read);
        }
        Ok(bytes)
    }
}

/// The process that reads; killed when dropped, though it may be past dying.
struct Child {
    pid: Pid,
    socket: File,
}

impl Child {
    fn start(files: &[&HeldFile]) -> io::Result<Self> {
        let family = AddressFamily::UNIX;
        let (ours, theirs) = socketpair(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let mut kept: Vec<i32> = files.iter().map(|file| file.fd.as_raw_fd()).collect();
        kept.push(theirs.as_raw_fd());
        let mut theirs = File::from(theirs);
        let pid = sys::in_a_child(kept, || answer_all(&mut theirs, files))?;
        Ok(Self {
            pid,
            socket: File::from(ours),
        })
    }

    fn ask(
        &mut self,
        file: usize,
        offset: u64,
        length: usize,
        patience: Duration,
    ) -> io::Result<Vec<u8>> {
        let end = Instant::now()
            .checked_add(patience)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let words = [u64::try_from(file), Ok(offset), u64::try_from(length)];
        let mut question = Vec::with_capacity(QUESTION);
        for word in words {
            question.extend(word.map_err(io::Error::other)?.to_ne_bytes());
        }
        self.socket.write_all(&question)?;
        let head = self.receive(ANSWER, end)?;
        let (error, size) = words_of(&head).ok_or(io::ErrorKind::InvalidData)?;
        if error != 0 {
            return Err(io::Error::from_raw_os_error(error));
        }
        let size = usize::try_from(size).map_err(io::Error::other)?;
        if size > MOST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.receive(size, end)
    }

    fn receive(&mut self, length: usize, end: Instant) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let mut filled = 0usize;
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            wait_until(self.socket.as_fd(), end)?;
            match self.socket.read(room) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled = filled.saturating_add(read),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        // It has ended by now, or nobody knows when it will: init is there to notice.
        let _ = rustix::process::waitpid(Some(self.pid), WaitOptions::NOHANG);
    }
}

fn words_of(head: &[u8]) -> Option<(i32, u32)> {
    let (error, size) = head.split_at_checked(4)?;
    Some((
        i32::from_ne_bytes(error.try_into().ok()?),
        u32::from_ne_bytes(size.try_into().ok()?),
    ))
}

/// The child's whole life: answers until nobody asks any more.
fn answer_all(socket: &mut File, files: &[&HeldFile]) {
    let mut opened: Option<(usize, File)> = None;
    let mut question = [0; QUESTION];
    while socket.read_exact(&mut question).is_ok() {
        let answer = answer(&question, files, &mut opened);
        let (error, bytes) = match &answer {
            Ok(bytes) => (0, bytes.as_slice()),
            Err(error) => (
                error.raw_os_error().unwrap_or(Errno::IO.raw_os_error()),
                &[][..],
            ),
        };
        let mut message = error.to_ne_bytes().to_vec();
        message.extend(u32::try_from(bytes.len()).unwrap_or(0).to_ne_bytes());
        message.extend(bytes);
        if socket.write_all(&message).is_err() {
            return;
        }
    }
}

fn answer(
    question: &[u8; QUESTION],
    files: &[&HeldFile],
    opened: &mut Option<(usize, File)>,
) -> io::Result<Vec<u8>> {
    let word = |at: usize| {
        let end = at.checked_add(8)?;
        Some(u64::from_ne_bytes(question.get(at..end)?.try_into().ok()?))
    };
    let invalid = || io::Error::from(Errno::INVAL);
    let (Some(number), Some(offset), Some(length)) = (word(0), word(8), word(16)) else {
        return Err(invalid());
    };
    let number = usize::try_from(number).map_err(|_| invalid())?;
    let length = usize::try_from(length).map_err(|_| invalid())?.min(MOST);
    let held = files.get(number).ok_or_else(invalid)?;
    if length == 0 {
        let stat = rustix::fs::fstat(held.reach()?)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        return Ok([&size.to_ne_bytes()[..], &stat.st_mode.to_ne_bytes()].concat());
    }
    let file = match opened {
        Some((open, file)) if *open == number => file,
        _ => &mut opened.insert((number, open(held)?)).1,
    };
    crate::bounded::read_at(file, offset, length)
}

/// Opens a held file for reading. Devices and the like are not opened: that could do something.
fn open(held: &HeldFile) -> io::Result<File> {
    let file = held.reach()?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    if kind != FileType::RegularFile {
        return Err(Errno::INVAL.into());
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::path::Path;

    fn held(path: &Path, device: &str) -> HeldFile {
        let fd = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
        HeldFile {
            fd,
            device: device.as_bytes().to_vec(),
            beneath: None,
        }
    }

    #[test]
    fn files_are_read_in_pieces_and_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let content: Vec<u8> = (0..600_000u32).flat_map(u32::to_ne_bytes).collect();
        std::fs::write(&path, &content).unwrap();
        let (file, gone) = (held(&path, "a"), held(Path::new("/proc/self"), "b"));
        std::fs::remove_file(&path).unwrap();
        let mut reader = Reader::new(vec![&file, &gone], PATIENCE);
        let look = reader.look(0).unwrap();
        assert_eq!(look.size, 2_400_000);
        assert!(FileType::from_raw_mode(look.mode).is_file());
        assert!(reader.file(0).read_at(0, 9_000_000).unwrap() == content);
        assert_eq!(reader.file(0).read_at(4, 8).unwrap(), content[4..12]);
        assert!(reader.file(0).read_at(2_400_000, 1).unwrap().is_empty());
        assert!(!FileType::from_raw_mode(reader.look(1).unwrap().mode).is_file());
        assert!(reader.file(1).read_at(0, 1).is_err(), "it is no file");
        assert!(reader.look(2).is_err());
        assert_eq!(reader.look(0).unwrap(), look);
    }

    /// A stopped child answers as little as one that waits for a file system.
    #[test]
    fn what_does_not_answer_is_left_behind() {
        let (one, other) = (
            held(Path::new("/bin/sh"), "a"),
            held(Path::new("/bin/sh"), "b"),
        );
        let mut reader = Reader::new(vec![&one, &one, &other], Duration::from_millis(200));
        reader.look(0).unwrap();
        let pid = reader.child.as_ref().unwrap().pid;
        rustix::process::kill_process(pid, Signal::STOP).unwrap();
        for file in [0, 1] {
            let error = reader.look(file).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(error.to_string().contains("did not answer"), "{error}");
        }
        // The other file system does answer, another child.
        reader.look(2).unwrap();
        assert_ne!(reader.child.as_ref().unwrap().pid, pid);
    }
}
