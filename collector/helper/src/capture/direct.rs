//! Takes a whole core from the process's memory, with all processors, while the kernel waits on its
//! pipe: the pipe is one thread that copies twice.
//!
//! The kernel's headers say where each byte of the core comes from, so that the result is the same,
//! byte for byte. What cannot be laid out like that is left to the pipe.
//!
//! ```text
//! worker: next frame ─► memory, page by page ─► zstd ─┐
//! worker: next frame ─► …                             ├─► in order ─► core.zst
//!            ▲ as many frames as there are permits ◄──┘
//! ```

use super::elf::CoreHead;
use super::live::{Memory, ProcessMemory};
use super::notes::{Layout, NoteScanner};
use super::seekable::{FRAME, FrameCompressor, SeekableWriter};
use super::stream::{CoreOutcome, MAX_WORKERS};
use goblin::elf::Elf;
use goblin::elf::program_header::{PF_W, PT_LOAD, PT_NOTE};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Largest beginning of a core (headers and notes) that is held in memory.
const MAX_PREFIX: u64 = 8 << 20;
const PAGE: u64 = 4096;

/// Where the bytes of a core come from.
pub(crate) struct Plan {
    /// Headers and notes, as they came.
    prefix: Vec<u8>,
    /// In order of place, and apart. Between them are zeros.
    pieces: Vec<Piece>,
    size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    offset: u64,
    length: u64,
    address: u64,
    /// No file backs it, nor the kernel itself, as it does the vDSO, which nobody can write to: pages
    /// that are absent are zeros.
    anonymous: bool,
}

impl Plan {
    /// Lays the core out, reading its beginning from `stream` into `head`; `None` when it must come
    /// through the stream.
    pub(crate) fn of(head: &mut CoreHead, stream: &mut impl Read) -> Option<Self> {
        let size = head.size?;
        let loads = head.segments.iter();
        let loads = loads.filter(|segment| segment.p_type == PT_LOAD && segment.p_filesz > 0);
        let mut pieces: Vec<Piece> = loads
            .map(|segment| Piece {
                offset: segment.p_offset,
                length: segment.p_filesz,
                address: segment.p_vaddr,
                anonymous: segment.p_flags & PF_W != 0,
            })
            .collect();
        pieces.sort_by_key(|piece| piece.offset);
        let first = pieces.first()?.offset;
        let mut end = first;
        for piece in &pieces {
            if piece.offset < end {
                return None;
            }
            end = piece.offset.checked_add(piece.length)?;
        }
        // Behind the memory stands a section header when there are very many segments.
        if end != size || first > MAX_PREFIX {
            return None;
        }
        let missing = first.saturating_sub(u64::try_from(head.bytes.len()).ok()?);
        // What a broken stream gave stays in `head`, and goes on through the pipe's way.
        stream.take(missing).read_to_end(&mut head.bytes).ok()?;
        let prefix = head.bytes.get(..usize::try_from(first).ok()?)?.to_vec();
        unmark_files(head, &prefix, &mut pieces);
        Some(Self {
            prefix,
            pieces,
            size,
        })
    }

    /// Fills `frame` with the bytes of the core from `offset`.
    fn fill(&self, memory: &ProcessMemory, offset: u64, frame: &mut [u8]) {
        frame.fill(0);
        let end = offset.saturating_add(u64::try_from(frame.len()).unwrap_or(0));
        let begun = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(prefix) = self.prefix.get(begun..) {
            let length = prefix.len().min(frame.len());
            if let (Some(to), Some(from)) = (frame.get_mut(..length), prefix.get(..length)) {
                to.copy_from_slice(from);
            }
        }
        let ends_before = |piece: &Piece| piece.offset.saturating_add(piece.length) <= offset;
        let from = self.pieces.partition_point(ends_before);
        for piece in self.pieces.iter().skip(from) {
            if piece.offset >= end {
                break;
            }
            let start = piece.offset.max(offset);
            let stop = piece.offset.saturating_add(piece.length).min(end);
            let within = |at: u64| usize::try_from(at.saturating_sub(offset)).unwrap_or(0);
            let address = piece
                .address
                .saturating_add(start.saturating_sub(piece.offset));
            if let Some(part) = frame.get_mut(within(start)..within(stop)) {
                read(memory, address, part, piece.anonymous);
            }
        }
    }
}

/// Reads memory into `part`, which is zeros. What cannot be read stays zeros, as in the kernel's core
/// (`dump_user_range` in fs/coredump.c).
fn read(memory: &ProcessMemory, address: u64, part: &mut [u8], anonymous: bool) {
    let page = usize::try_from(PAGE).unwrap_or(4096);
    let pages = part.len().div_ceil(page);
    let present = anonymous.then(|| memory.present(address, pages)).flatten();
    let mut at = 0usize;
    while at < part.len() {
        let is_there = |at: usize| {
            let index = at.checked_div(page).unwrap_or(0);
            present
                .as_ref()
                .is_none_or(|present| present.get(index).copied().unwrap_or(true))
        };
        let mut end = at.saturating_add(page).min(part.len());
        while end < part.len() && is_there(end) == is_there(at) {
            end = end.saturating_add(page).min(part.len());
        }
        let mut from = at;
        while from < end && is_there(at) {
            let start = address.saturating_add(u64::try_from(from).unwrap_or(0));
            let room = part.get_mut(from..end).unwrap_or_default();
            let count = memory.read(start, room);
            // A page that cannot be read hides nothing but itself.
            from = from.saturating_add(count.max(1)).next_multiple_of(page);
        }
        at = end;
    }
}

/// Unmarks what a file backs. Without a list of files everything is unmarked.
fn unmark_files(head: &CoreHead, prefix: &[u8], pieces: &mut [Piece]) {
    let header = Elf::parse_header(prefix).ok();
    let Some(layout) = header.and_then(|header| Layout::of(header.e_machine)) else {
        for piece in pieces {
            piece.anonymous = false;
        }
        return;
    };
    let mut scanner = NoteScanner::new(layout);
    for segment in head
        .segments
        .iter()
        .filter(|segment| segment.p_type == PT_NOTE)
    {
        let start = usize::try_from(segment.p_offset).unwrap_or(usize::MAX);
        let length = usize::try_from(segment.p_filesz).unwrap_or(0);
        let end = start.saturating_add(length);
        scanner.feed(prefix.get(start..end).unwrap_or_default());
    }
    let files = scanner.finish().files;
    for piece in pieces {
        let after = files.partition_point(|(start, _)| *start <= piece.address);
        let before = after.checked_sub(1).and_then(|index| files.get(index));
        let apart = before.is_none_or(|(_, end)| *end <= piece.address);
        piece.anonymous &= !files.is_empty() && apart && piece.address.is_multiple_of(PAGE);
    }
}

/// A frame on its way: its number, raw size, and what it became.
type Packed = (u64, usize, Result<Vec<u8>, String>);

/// Stores the core of `plan` in the empty `file` of at most `budget` bytes, until `deadline`.
pub(crate) fn store(
    plan: &Plan,
    memory: &ProcessMemory,
    file: &mut File,
    budget: u64,
    workers: usize,
    deadline: Instant,
) -> CoreOutcome {
    let frame = u64::try_from(FRAME).unwrap_or(1);
    let frames = plan.size.div_ceil(frame);
    let workers = workers.clamp(1, MAX_WORKERS);
    let mut writer = SeekableWriter::new(file, budget);
    let mut stopped = None;
    std::thread::scope(|scope| {
        let (done_in, done) = channel::<Packed>();
        let (permit_in, permits) = channel::<Vec<u8>>();
        for _ in 0..workers.saturating_add(2) {
            let _ = permit_in.send(Vec::new());
        }
        let work = Work {
            plan,
            memory,
            next: AtomicU64::new(0),
            frames,
            permits: Mutex::new(permits),
            deadline,
        };
        let work = std::sync::Arc::new(work);
        for _ in 0..workers {
            let (work, done_in) = (std::sync::Arc::clone(&work), done_in.clone());
            // One thread fewer is slower, none at all ends the channel.
            let _ = std::thread::Builder::new().spawn_scoped(scope, move || work.run(&done_in));
        }
        drop(done_in);
        stopped = write_in_order(&mut writer, &done, permit_in, frames).err();
    });
    // Somebody may have killed it meanwhile: then what was read last is zeros.
    let gone = || {
        let first = plan.pieces.iter().take(64);
        let readable = first.filter(|piece| memory.read(piece.address, &mut [0]) == 1);
        let gone = readable.count() == 0;
        gone.then(|| "the process went away while its memory was read".to_owned())
    };
    let stopped = stopped.or_else(gone);
    match writer.finish() {
        Ok(stored) => CoreOutcome {
            seen: plan.size,
            stored,
            stopped,
        },
        Err(error) => CoreOutcome {
            seen: plan.size,
            stopped: stopped.or(Some(format!("writing the core failed: {error}"))),
            ..CoreOutcome::default()
        },
    }
}

/// Writes frames as their turn comes, and gives their buffers back as permits for the next.
fn write_in_order(
    writer: &mut SeekableWriter<'_>,
    done: &Receiver<Packed>,
    permits: Sender<Vec<u8>>,
    frames: u64,
) -> Result<(), String> {
    let mut early = BTreeMap::new();
    let mut next = 0u64;
    for (number, raw, packed) in done {
        early.insert(number, (raw, packed));
        while let Some((raw, packed)) = early.remove(&next) {
            let packed = packed?;
            writer
                .write_frame(raw, &packed)
                .map_err(|error| format!("writing the core failed: {error}"))?;
            next = next.saturating_add(1);
            // Nobody may be left to take it.
            let _ = permits.send(packed);
        }
        if next == frames {
            break;
        }
    }
    drop(permits);
    if next == frames {
        Ok(())
    } else {
        Err("the threads that read the memory ended early".to_owned())
    }
}

struct Work<'p> {
    plan: &'p Plan,
    memory: &'p ProcessMemory,
    next: AtomicU64,
    frames: u64,
    permits: Mutex<Receiver<Vec<u8>>>,
    deadline: Instant,
}

impl Work<'_> {
    fn run(&self, done: &Sender<Packed>) {
        let mut raw = vec![0; FRAME];
        let Ok(mut compressor) = FrameCompressor::new(Some(self.plan.size)) else {
            return;
        };
        loop {
            let permit = self
                .permits
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .recv();
            let Ok(mut packed) = permit else { return };
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.frames {
                return;
            }
            let offset = number.saturating_mul(u64::try_from(FRAME).unwrap_or(1));
            let left = usize::try_from(self.plan.size.saturating_sub(offset)).unwrap_or(FRAME);
            let frame = raw.get_mut(..left.min(FRAME)).unwrap_or_default();
            let result = if Instant::now() >= self.deadline {
                Err("the time the process may be held was over".to_owned())
            } else {
                self.plan.fill(self.memory, offset, frame);
                let compressed = compressor.compress(frame, &mut packed);
                compressed.map_err(|error| format!("compressing failed: {error}"))
            };
            let size = frame.len();
            if done.send((number, size, result.map(|()| packed))).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use goblin::elf::ProgramHeader;
    use std::time::Duration;

    fn load(offset: u64, length: u64, address: u64) -> ProgramHeader {
        ProgramHeader {
            p_type: PT_LOAD,
            p_offset: offset,
            p_filesz: length,
            p_memsz: length,
            p_vaddr: address,
            ..ProgramHeader::default()
        }
    }

    fn head(segments: Vec<ProgramHeader>, size: u64) -> CoreHead {
        CoreHead {
            bytes: b"begin".to_vec(),
            size: Some(size),
            segments,
            ..CoreHead::default()
        }
    }

    /// Our own memory, as a core with a hole before it and one within.
    #[test]
    fn our_own_memory_becomes_the_core_that_was_laid_out() {
        let data: Vec<u8> = (0..5_000_000u32).map(|at| (at / 7 % 251) as u8).collect();
        let start = data.as_ptr().addr() as u64;
        let (first, second) = (3_000_000u64, 1_500_000u64);
        let segments = vec![
            load(100, first, start),
            load(100 + first + 50, second, start + first),
            load(100 + first + 50 + second, 5000, 8),
        ];
        let size = 100 + first + 50 + second + 5000;
        let mut head = head(segments, size);
        let rest = vec![b'n'; 1000];
        let plan = Plan::of(&mut head, &mut rest.as_slice()).unwrap();
        let proc = File::open("/proc/self").unwrap();
        let memory = ProcessMemory::open(&proc).unwrap();
        let mut expected = b"begin".to_vec();
        expected.resize(100, b'n');
        expected.extend(&data[..3_000_000]);
        expected.resize(expected.len() + 50, 0);
        expected.extend(&data[3_000_000..4_500_000]);
        expected.resize(expected.len() + 5000, 0);
        for workers in [1, 2, 5] {
            let mut file = tempfile::tempfile().unwrap();
            let late = Instant::now() + Duration::from_mins(1);
            let outcome = store(&plan, &memory, &mut file, u64::MAX, workers, late);
            assert_eq!(outcome.stopped, None);
            assert_eq!(outcome.stored.raw, size);
            std::io::Seek::rewind(&mut file).unwrap();
            assert!(
                zstd::decode_all(file).unwrap() == expected,
                "{workers} workers"
            );
        }
    }

    #[test]
    fn what_stops_early_is_a_valid_beginning() {
        let data = vec![7u8; 10 << 20];
        let mut head = head(
            vec![load(10, 10 << 20, data.as_ptr().addr() as u64)],
            10 + (10 << 20),
        );
        let plan = Plan::of(&mut head, &mut [0u8; 5].as_slice()).unwrap();
        let proc = File::open("/proc/self").unwrap();
        let memory = ProcessMemory::open(&proc).unwrap();
        let now = Instant::now();
        let late = now + Duration::from_mins(1);
        for (budget, deadline, why) in [(300, late, "used up"), (u64::MAX, now, "was over")] {
            let mut file = tempfile::tempfile().unwrap();
            let outcome = store(&plan, &memory, &mut file, budget, 2, deadline);
            assert!(outcome.stopped.unwrap().contains(why));
            assert!(outcome.stored.raw < plan.size);
            std::io::Seek::rewind(&mut file).unwrap();
            let kept = zstd::decode_all(file).unwrap();
            assert_eq!(kept.len() as u64, outcome.stored.raw);
        }
    }

    #[test]
    fn what_cannot_be_laid_out_is_left_to_the_pipe() {
        let none = |segments, size| {
            let mut head = head(segments, size);
            assert!(Plan::of(&mut head, &mut [0u8; 9999].as_slice()).is_none());
        };
        none(vec![], 100);
        none(vec![load(100, 50, 0), load(120, 50, 0)], 170);
        none(vec![load(100, 50, 0)], 214);
        none(vec![load(100, u64::MAX, 0)], 100);
        none(vec![load(MAX_PREFIX + 1, 1, 0)], MAX_PREFIX + 2);
        none(vec![load(20_000, 1, 0)], 20_001);
    }
}
