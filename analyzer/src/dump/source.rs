//! Reads a core's bytes at any offset, whether it is stored plain or compressed with zstd.
//!
//! A seekable file (independent frames of a few MiB) is decompressed frame by frame, where it is
//! read, with a small cache. Files without a seek table are indexed by walking their frames, so a
//! compressor that was killed half-way costs only what it did not write. One huge frame (what
//! `zstd core` makes) is decompressed as a whole into memory that holds no zero pages, up to a
//! limit.

use crate::mapped::Bytes;
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::Read;
use std::ops::Range;
use std::rc::Rc;
use zeekstd::{BytesWrapper, SeekTable};
use zstd::zstd_safe;

/// Frames larger than this are not held as a whole.
const FRAME_MAX: u64 = 64 << 20;
/// Decompressed frames that are kept for the next read.
const CACHE_MAX: usize = 48 << 20;
/// Non-zero bytes held of a file that can only be decompressed as a whole.
const WHOLE_MAX: usize = 1 << 30;
/// Granularity in which zero bytes of such a file are left out.
const PAGE: usize = 4096;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const SKIPPABLE_MAGIC: Range<u32> = 0x184d_2a50..0x184d_2a60;

/// The bytes of a core.
pub struct CoreBytes(Storage);

enum Storage {
    Plain(Bytes),
    Frames(Frames),
    Whole(Pages),
}

impl CoreBytes {
    /// Recognizes how the core is stored.
    pub fn new(bytes: Bytes) -> Self {
        if !bytes.starts_with(&ZSTD_MAGIC) && !starts_skippable(&bytes) {
            return CoreBytes(Storage::Plain(bytes));
        }
        match index(&bytes) {
            Some(frames) => CoreBytes(Storage::Frames(Frames::new(bytes, frames))),
            None => CoreBytes(Storage::Whole(Pages::decompress(&bytes))),
        }
    }

    /// Size, uncompressed, as far as there are bytes.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Storage::Plain(bytes) => bytes.len() as u64,
            Storage::Frames(frames) => frames.len(),
            Storage::Whole(pages) => pages.size,
        }
    }

    /// Whether the file is compressed.
    pub fn is_compressed(&self) -> bool {
        !matches!(self.0, Storage::Plain(_))
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buffer` from `offset`. False when any byte is absent.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.len()) {
            return false;
        }
        match &self.0 {
            Storage::Plain(bytes) => copy(bytes, offset, buffer),
            Storage::Frames(frames) => frames.read(offset, buffer),
            Storage::Whole(pages) => pages.read(offset, buffer),
        }
    }
}

fn copy(bytes: &[u8], offset: u64, buffer: &mut [u8]) -> bool {
    let found = usize::try_from(offset)
        .ok()
        .and_then(|start| bytes.get(start..start.checked_add(buffer.len())?));
    found.map(|found| buffer.copy_from_slice(found)).is_some()
}

fn starts_skippable(bytes: &[u8]) -> bool {
    bytes
        .first_chunk()
        .is_some_and(|magic| SKIPPABLE_MAGIC.contains(&u32::from_le_bytes(*magic)))
}

/// One independent frame.
struct Frame {
    compressed: Range<usize>,
    start: u64,
    size: u64,
}

/// The frames of a file, or `None` when one of them cannot be decompressed on its own.
fn index(bytes: &[u8]) -> Option<Vec<Frame>> {
    match SeekTable::from_seekable(&mut BytesWrapper::new(bytes)) {
        Ok(table) => index_by_table(&table),
        Err(_) => index_by_walk(bytes),
    }
}

fn index_by_table(table: &SeekTable) -> Option<Vec<Frame>> {
    let frame = |number| {
        let start = table.frame_start_decomp(number).ok()?;
        let size = table.frame_end_decomp(number).ok()?.checked_sub(start)?;
        let compressed = usize::try_from(table.frame_start_comp(number).ok()?).ok()?
            ..usize::try_from(table.frame_end_comp(number).ok()?).ok()?;
        (size <= FRAME_MAX).then_some(Frame {
            compressed,
            start,
            size,
        })
    };
    (0..table.num_frames()).map(frame).collect()
}

/// Follows the frames of a file that has no seek table, up to the first damaged one.
fn index_by_walk(bytes: &[u8]) -> Option<Vec<Frame>> {
    let (mut frames, mut at, mut start) = (Vec::new(), 0, 0_u64);
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let Ok(length) = zstd_safe::find_frame_compressed_size(rest) else {
            break;
        };
        let end = at.checked_add(length)?;
        if !starts_skippable(rest) {
            let size = zstd_safe::get_frame_content_size(rest).ok()??;
            if size > FRAME_MAX {
                return None;
            }
            frames.push(Frame {
                compressed: at..end,
                start,
                size,
            });
            start = start.checked_add(size)?;
        }
        at = end;
    }
    (!frames.is_empty()).then_some(frames)
}

/// A file of independent frames.
struct Frames {
    bytes: Bytes,
    index: Vec<Frame>,
    cache: RefCell<Cache>,
}

#[derive(Default)]
struct Cache {
    /// Most recently used first.
    frames: VecDeque<(usize, Rc<Vec<u8>>)>,
}

impl Frames {
    fn new(bytes: Bytes, index: Vec<Frame>) -> Self {
        Frames {
            bytes,
            index,
            cache: RefCell::default(),
        }
    }

    fn len(&self) -> u64 {
        self.index
            .last()
            .map_or(0, |frame| frame.start.saturating_add(frame.size))
    }

    fn read(&self, mut offset: u64, mut buffer: &mut [u8]) -> bool {
        while !buffer.is_empty() {
            let after = self.index.partition_point(|frame| frame.start <= offset);
            let Some(number) = after.checked_sub(1) else {
                return false;
            };
            let Some(content) = self.frame(number) else {
                return false;
            };
            let Ok(skip) = usize::try_from(offset - self.index[number].start) else {
                return false;
            };
            let Some(part) = content.get(skip..).filter(|part| !part.is_empty()) else {
                return false;
            };
            let length = part.len().min(buffer.len());
            let (head, tail) = buffer.split_at_mut(length);
            head.copy_from_slice(&part[..length]);
            buffer = tail;
            offset += length as u64;
        }
        true
    }

    fn frame(&self, number: usize) -> Option<Rc<Vec<u8>>> {
        let mut cache = self.cache.borrow_mut();
        if let Some(found) = cache
            .frames
            .iter()
            .position(|(cached, _)| *cached == number)
        {
            let entry = cache.frames.remove(found)?;
            cache.frames.push_front(entry);
            return cache.frames.front().map(|(_, content)| Rc::clone(content));
        }
        let frame = self.index.get(number)?;
        let compressed = self.bytes.get(frame.compressed.clone())?;
        let content = zstd::bulk::decompress(compressed, usize::try_from(frame.size).ok()?).ok()?;
        let content = Rc::new(content);
        cache.frames.push_front((number, Rc::clone(&content)));
        cache.shrink();
        Some(content)
    }
}

impl Cache {
    fn shrink(&mut self) {
        let mut held = 0;
        let mut fits = |(_, content): &(usize, Rc<Vec<u8>>)| {
            held += content.len();
            held <= CACHE_MAX
        };
        let keep = self.frames.iter().take_while(|entry| fits(entry)).count();
        self.frames.truncate(keep.max(1));
    }
}

/// A file decompressed as a whole, without its zero pages.
#[derive(Default)]
struct Pages {
    size: u64,
    pages: HashMap<u64, Box<[u8; PAGE]>>,
}

impl Pages {
    fn decompress(compressed: &[u8]) -> Self {
        let mut pages = Pages::default();
        if let Ok(mut decoder) = zstd::stream::read::Decoder::new(compressed) {
            while pages.pages.len() < WHOLE_MAX / PAGE && pages.append(&mut decoder) {}
        }
        pages
    }

    /// Takes the next page. False at the end, or where the data is damaged.
    fn append(&mut self, decoder: &mut impl Read) -> bool {
        let mut page = Box::new([0; PAGE]);
        let mut filled = 0;
        while filled < PAGE {
            match decoder.read(&mut page[filled..]) {
                Ok(length) if length > 0 => filled += length,
                _ => break,
            }
        }
        if page.iter().any(|&byte| byte != 0) {
            self.pages.insert(self.size / PAGE as u64, page);
        }
        self.size += filled as u64;
        filled == PAGE
    }

    fn read(&self, mut offset: u64, mut buffer: &mut [u8]) -> bool {
        while !buffer.is_empty() {
            let Ok(skip) = usize::try_from(offset % PAGE as u64) else {
                return false;
            };
            let (head, tail) = buffer.split_at_mut((PAGE - skip).min(buffer.len()));
            match self.pages.get(&(offset / PAGE as u64)) {
                Some(page) => head.copy_from_slice(&page[skip..skip + head.len()]),
                None => head.fill(0),
            }
            offset += head.len() as u64;
            buffer = tail;
        }
        true
    }
}
