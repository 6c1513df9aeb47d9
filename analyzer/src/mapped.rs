//! Holds the bytes of a file: mapped into memory, or owned. The only unsafe code of the crate.
#![allow(unsafe_code)]

use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;

/// Read-only bytes of a file; clones share them.
#[derive(Clone, Debug)]
pub struct Bytes(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Mapped(Arc<Mmap>),
    Owned(Arc<Vec<u8>>),
}

impl Bytes {
    /// Maps an open file.
    pub fn of_file(file: &File) -> io::Result<Self> {
        Self::map(file.as_fd())
    }

    /// Maps a file that the parent process left open under this descriptor number. The
    /// descriptor stays open and is not owned.
    pub fn of_descriptor(descriptor: i32) -> io::Result<Self> {
        if descriptor < 0 {
            return Err(io::Error::from_raw_os_error(9));
        }
        // SAFETY: the number is only used here, before anything could close it; one that is not
        // open makes fstat fail with EBADF. Opening /proc/self/fd/N instead would need /proc and
        // a second permission check, and a worker can open nothing.
        Self::map(unsafe { BorrowedFd::borrow_raw(descriptor) })
    }

    fn map(file: BorrowedFd<'_>) -> io::Result<Self> {
        // Asked for with the one call that a worker's sandbox allows; the standard library and
        // memmap2 would look by path.
        let size = usize::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
        let options = MmapOptions::new().len(size).to_owned();
        // SAFETY: a map of a file is sound as long as nobody shortens or rewrites the file
        // meanwhile. Cores and modules of the store are written once; for files of the host the
        // worst case is SIGBUS in this process. There is no safe way to map, and reading a core
        // of many GiB into memory is not an option.
        let map = unsafe { options.map(file.as_raw_fd()) }?;
        Ok(Bytes(Inner::Mapped(Arc::new(map))))
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes(Inner::Owned(Arc::new(bytes)))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Inner::Mapped(map) => map,
            Inner::Owned(bytes) => bytes,
        }
    }
}
