//! Holds the bytes of a file: mapped into memory, or owned. The only unsafe code of the crate.
#![allow(unsafe_code)]

use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::ops::Deref;
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
        // SAFETY: a map of a file is sound as long as nobody shortens or rewrites the file
        // meanwhile. Cores and modules of the store are written once; for files of the host the
        // worst case is SIGBUS in this process. There is no safe way to map, and reading a core
        // of many GiB into memory is not an option.
        unsafe { Mmap::map(file) }.map(|map| Bytes(Inner::Mapped(Arc::new(map))))
    }

    /// Maps a file that the parent process left open under this descriptor number. The
    /// descriptor stays open and is not owned.
    pub fn of_descriptor(descriptor: i32) -> io::Result<Self> {
        if descriptor < 0 {
            return Err(io::Error::from_raw_os_error(9));
        }
        // SAFETY: as above; a number that is not open makes fstat or mmap fail with EBADF.
        // Opening /proc/self/fd/N instead would need /proc and a second permission check.
        unsafe { Mmap::map(descriptor) }.map(|map| Bytes(Inner::Mapped(Arc::new(map))))
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
