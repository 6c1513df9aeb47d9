//! Reads a stored core again: the file at any place through the table of its frames, and the
//! memory by address. Holds a few frames, whatever the size of the core.

use super::elf::CoreHead;
use super::live::Memory;
use super::seekable::{FRAME, SEEKABLE_MAGIC, SKIPPABLE_MAGIC};
use crate::bounded::read_at;
use goblin::elf::program_header::PT_LOAD;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use zstd::bulk::Decompressor;

/// Frames kept decompressed: what is chosen for a lean core lies close together.
const HELD: usize = 8;
/// Most frames of one file: a core of 2 TiB.
const MAX_FRAMES: usize = 1 << 20;
/// Bytes of the table behind its entries, and of an entry.
const FOOTER: u64 = 9;
const ENTRY: usize = 8;
/// Bytes before the entries.
const TABLE_HEAD: u64 = 8;

/// A file of seekable zstd, as [`super::seekable`] writes it.
pub struct StoredCore {
    file: File,
    frames: Vec<FrameAt>,
    state: RefCell<State>,
}

/// Where a frame lies, packed and unpacked.
#[derive(Clone, Copy, Debug)]
struct FrameAt {
    packed_at: u64,
    packed: usize,
    raw_at: u64,
    raw: usize,
}

struct State {
    decompressor: Decompressor<'static>,
    /// Frames by index, the last used first.
    held: VecDeque<(usize, Vec<u8>)>,
}

impl StoredCore {
    /// Reads the table. A file without one, or whose table does not fit it, is refused.
    pub fn open(file: File) -> io::Result<Self> {
        let frames = read_table(&file)?;
        Ok(Self {
            file,
            frames,
            state: RefCell::new(State {
                decompressor: Decompressor::new()?,
                held: VecDeque::new(),
            }),
        })
    }

    /// Fills the beginning of `buffer` with what is at `offset` of the core; 0 at its end.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let after = self.frames.partition_point(|frame| frame.raw_at <= offset);
        let Some((index, frame)) = after
            .checked_sub(1)
            .and_then(|index| Some((index, *self.frames.get(index)?)))
        else {
            return Ok(0);
        };
        let start = usize::try_from(offset.saturating_sub(frame.raw_at)).unwrap_or(usize::MAX);
        if start >= frame.raw {
            return Ok(0);
        }
        let mut state = self.state.borrow_mut();
        let bytes = state.frame(&self.file, index, frame)?;
        let bytes = bytes.get(start..).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), bytes.get(..count)) {
            to.copy_from_slice(from);
        }
        Ok(count)
    }

    /// The core from its beginning, as the kernel wrote it.
    pub fn stream(&self) -> CoreStream<'_> {
        CoreStream { core: self, at: 0 }
    }
}

impl State {
    fn frame(&mut self, file: &File, index: usize, frame: FrameAt) -> io::Result<&[u8]> {
        let known = self.held.iter().position(|(held, _)| *held == index);
        let entry = if let Some(entry) = known.and_then(|at| self.held.remove(at)) {
            entry
        } else {
            let packed = read_at(file, frame.packed_at, frame.packed)?;
            let raw = self.decompressor.decompress(&packed, frame.raw)?;
            if raw.len() != frame.raw {
                return Err(damaged("a frame is not as long as the table says"));
            }
            (index, raw)
        };
        self.held.truncate(HELD.saturating_sub(1));
        self.held.push_front(entry);
        Ok(self
            .held
            .front()
            .map(|(_, raw)| raw.as_slice())
            .unwrap_or_default())
    }
}

/// A core read from its beginning to its end.
pub struct CoreStream<'c> {
    core: &'c StoredCore,
    at: u64,
}

impl Read for CoreStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.core.read(self.at, buffer)?;
        self.at = self.at.saturating_add(u64::try_from(count).unwrap_or(0));
        Ok(count)
    }
}

/// The memory in a stored core.
pub struct CoreMemory<'c> {
    core: &'c StoredCore,
    /// Address, length and place in the core of each segment, in order of address.
    segments: Vec<(u64, u64, u64)>,
}

impl<'c> CoreMemory<'c> {
    /// The memory by the program headers in `head`.
    pub fn new(core: &'c StoredCore, head: &CoreHead) -> Self {
        let loads = head
            .segments
            .iter()
            .filter(|segment| segment.p_type == PT_LOAD && segment.p_filesz > 0);
        let mut segments: Vec<_> = loads
            .map(|segment| (segment.p_vaddr, segment.p_filesz, segment.p_offset))
            .collect();
        segments.sort_unstable();
        Self { core, segments }
    }

    /// Where `address` lies in the core, and how many bytes follow it there.
    fn place(&self, address: u64) -> Option<(u64, u64)> {
        let after = self
            .segments
            .partition_point(|(start, ..)| *start <= address);
        let (start, length, offset) = *self.segments.get(after.checked_sub(1)?)?;
        let within = address.checked_sub(start)?;
        let left = length.checked_sub(within).filter(|left| *left > 0)?;
        Some((offset.checked_add(within)?, left))
    }
}

impl Memory for CoreMemory<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> usize {
        let mut filled = 0usize;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            let at = u64::try_from(filled)
                .ok()
                .and_then(|done| address.checked_add(done));
            let Some((offset, left)) = at.and_then(|at| self.place(at)) else {
                break;
            };
            let most = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let part = room.get_mut(..most).unwrap_or_default();
            match self.core.read(offset, part) {
                Ok(0) | Err(_) => break,
                Ok(count) => filled = filled.saturating_add(count),
            }
        }
        filled
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// The frames that the table at the end of the file tells of.
fn read_table(file: &File) -> io::Result<Vec<FrameAt>> {
    // Not `File::metadata`, which asks by path first: a worker in its sandbox may not.
    let length = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
    let none = || damaged("the file has no table of its frames");
    let footer_at = length.checked_sub(FOOTER).ok_or_else(none)?;
    let footer = read_at(file, footer_at, 9)?;
    let count = usize::try_from(number(&footer, 0)).unwrap_or(usize::MAX);
    let plain = footer.get(4) == Some(&0);
    if number(&footer, 5) != SEEKABLE_MAGIC || !plain || count > MAX_FRAMES {
        return Err(none());
    }
    let size = count.saturating_mul(ENTRY);
    let table_at = footer_at
        .checked_sub(u64::try_from(size).unwrap_or(u64::MAX))
        .and_then(|entries| entries.checked_sub(TABLE_HEAD))
        .ok_or_else(none)?;
    let table = read_at(file, table_at, size.saturating_add(8))?;
    if number(&table, 0) != SKIPPABLE_MAGIC {
        return Err(none());
    }
    let mut frames = Vec::with_capacity(count);
    let (mut packed_at, mut raw_at) = (0u64, 0u64);
    for entry in table.get(8..).unwrap_or_default().chunks_exact(ENTRY) {
        let (packed, raw) = (number(entry, 0), number(entry, 4));
        let sizes = (usize::try_from(packed), usize::try_from(raw));
        let (Ok(packed_size), Ok(raw_size)) = sizes else {
            return Err(none());
        };
        if raw_size == 0 || raw_size > FRAME || packed_size > 2 * FRAME {
            return Err(damaged("a frame is larger than any of ours"));
        }
        frames.push(FrameAt {
            packed_at,
            packed: packed_size,
            raw_at,
            raw: raw_size,
        });
        packed_at = packed_at.saturating_add(packed.into());
        raw_at = raw_at.saturating_add(raw.into());
    }
    if packed_at != table_at {
        return Err(damaged("the table does not fit the file"));
    }
    Ok(frames)
}

/// The little-endian number at `at`; 0 where there is none.
fn number(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at.saturating_add(4));
    four.and_then(|four| four.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::capture::stream;
    use std::io::{Seek, SeekFrom, Write};

    fn stored(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        let outcome = stream::store(&CoreHead::default(), bytes, &mut file, u64::MAX, 0);
        assert_eq!(outcome.stopped, None);
        file
    }

    #[test]
    fn what_was_stored_is_read_at_any_place() {
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * FRAME + 77).collect();
        let core = StoredCore::open(stored(&bytes)).unwrap();
        let mut whole = vec![];
        core.stream().read_to_end(&mut whole).unwrap();
        assert!(whole == bytes);
        for offset in [0, 1, FRAME - 1, FRAME, 2 * FRAME + 5, 3 * FRAME + 76] {
            let mut two = [0; 2];
            let count = core.read(offset as u64, &mut two).unwrap();
            assert!(count > 0 && two[..count] == bytes[offset..offset + count]);
        }
        assert_eq!(core.read(bytes.len() as u64, &mut [0; 1]).unwrap(), 0);
        assert_eq!(core.read(u64::MAX, &mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn damaged_files_are_refused_or_give_errors() {
        let mut whole = vec![];
        let mut file = stored(&vec![7; FRAME + 10]);
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut whole).unwrap();
        for cut in 1..whole.len() {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&whole[..whole.len() - cut]).unwrap();
            assert!(StoredCore::open(file).is_err(), "cut by {cut}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let Ok(core) = StoredCore::open(file) else {
                continue;
            };
            // Every frame has its checksum; that the table says its own length twice does not matter.
            let mut read = vec![];
            let result = core.stream().read_to_end(&mut read);
            assert!(result.is_err() || read == vec![7; FRAME + 10], "byte {at}");
        }
    }
}
