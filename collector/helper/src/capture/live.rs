//! Reads the memory of the dead process while the kernel holds it.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use std::io;

/// Somebody's memory, read by address.
pub trait Memory {
    /// Fills the beginning of `buffer` with what is at `address`; returns how many bytes that were.
    fn read(&self, address: u64, buffer: &mut [u8]) -> usize;

    /// The word of `size` bytes (4 or 8) at `address`, in the machine's byte order.
    fn word(&self, address: u64, size: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        let part = bytes.get_mut(..size.min(8))?;
        (self.read(address, part) == size).then(|| word(part))
    }
}

/// An integer of 4 or 8 bytes in the machine's byte order; 0 for other lengths.
pub(crate) fn word(bytes: &[u8]) -> u64 {
    let wide = || bytes.try_into().ok().map(u64::from_ne_bytes);
    let narrow = || bytes.try_into().ok().map(u32::from_ne_bytes).map(u64::from);
    wide().or_else(narrow).unwrap_or(0)
}

/// `/proc/P/mem` of a process that the kernel holds until its core is written. It keeps the
/// address space, so that what is read belongs to the process that died, whatever its pid means by now.
#[derive(Debug)]
pub struct ProcessMemory {
    memory: OwnedFd,
    /// `/proc/P/pagemap`: a word for each page (Documentation/admin-guide/mm/pagemap.rst).
    pagemap: Option<OwnedFd>,
}

/// Set in a page's word when it is in memory, or swapped out.
const PRESENT: u64 = 3 << 62;

impl ProcessMemory {
    /// Opens the memory of the process whose `/proc/P` is `proc`.
    pub fn open(proc: impl AsFd) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(Self {
            memory: rustix::fs::openat(&proc, "mem", flags, Mode::empty())?,
            pagemap: rustix::fs::openat(&proc, "pagemap", flags, Mode::empty()).ok(),
        })
    }

    /// Which of so many pages from `address` are there; `None` when that cannot be told. Of memory
    /// that no file backs, the others are zeros.
    pub fn present(&self, address: u64, pages: usize) -> Option<Vec<bool>> {
        let pagemap = self.pagemap.as_ref()?;
        let page = u64::try_from(rustix::param::page_size()).ok()?;
        let offset = address.checked_div(page)?.checked_mul(8)?;
        if page != 4096 || !address.is_multiple_of(page) {
            return None;
        }
        let words = crate::bounded::read_at(pagemap, offset, pages.checked_mul(8)?).ok()?;
        let present = words
            .chunks_exact(8)
            .map(|bytes| word(bytes) & PRESENT != 0);
        let present: Vec<bool> = present.collect();
        (present.len() == pages).then_some(present)
    }
}

impl Memory for ProcessMemory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> usize {
        let mut filled = 0usize;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            let at = u64::try_from(filled)
                .ok()
                .and_then(|done| address.checked_add(done));
            let Some(at) = at else { break };
            match rustix::io::pread(&self.memory, room, at) {
                Ok(0) => break,
                Ok(count) => filled = filled.saturating_add(count),
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn our_own_memory_is_read_and_holes_are_not() {
        let proc = std::fs::File::open("/proc/self").unwrap();
        let memory = ProcessMemory::open(&proc).unwrap();
        let text = Box::new(*b"here is what it is");
        let address = text.as_ptr().addr() as u64;
        let mut buffer = [0; 18];
        assert_eq!(memory.read(address, &mut buffer), 18);
        assert_eq!(&buffer, &*text);
        assert_eq!(memory.word(address, 4), Some(word(b"here")));
        assert_eq!(memory.read(0, &mut buffer), 0);
        assert_eq!(memory.read(u64::MAX - 3, &mut buffer), 0);
        assert_eq!(memory.word(8, 8), None);
        let page = address & !4095;
        assert_eq!(memory.present(page, 1), Some(vec![true]));
        assert_eq!(memory.present(page + 1, 1), None);
    }
}
