//! Keeps a lean core: a valid ELF core with the registers of all threads, their stacks, the
//! modules' data, and what the crash points at. What it costs does not grow with the heap.
//!
//! The kernel's stream is read up to the end of its notes; the rest is chosen from its program
//! headers and read from the process's memory, which the kernel holds as long as we do not let go
//! of the stream.

mod link_map;
mod select;
mod write;

pub use write::PT_ABSENT;

use super::elf::CoreHead;
use super::live::Memory;
use super::notes::{Layout, NoteFacts, NoteScanner};
use super::stream::{self, CoreOutcome};
use goblin::container::Ctx;
use goblin::elf::program_header::PT_NOTE;
use goblin::elf::{Elf, Header};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::Instant;

/// Notes up to this size are held in memory, larger ones in a file without a name.
const HELD_NOTES: u64 = 1 << 20;
/// Largest notes kept: those of some 80,000 threads.
const MAX_NOTES: u64 = 256 << 20;
/// Up to this much is compressed by one thread, whose start costs more than it saves.
const BY_ONE_THREAD: u64 = 8 << 20;

/// How much a lean core may hold, and until when it may be collected.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of the stored file.
    pub file: u64,
    /// When to stop.
    pub deadline: Instant,
}

/// What became of a lean core.
#[derive(Debug, Default)]
pub struct LeanOutcome {
    /// What was stored.
    pub core: CoreOutcome,
    /// Size of the lean core when it is whole.
    pub size: u64,
    /// Why it is less than it should be, a sentence.
    pub lacks: Option<String>,
}

/// Stores a lean core in the empty `file`. `head` and `stream` are the beginning of the whole core
/// and the rest of it, `scratch` makes a file without a name.
///
/// # Errors
/// A sentence, when the whole core's headers or notes are unusable. Nothing was stored then.
pub fn store(
    head: &CoreHead,
    stream: &mut impl Read,
    memory: &impl Memory,
    scratch: impl FnOnce() -> io::Result<File>,
    file: &mut File,
    bounds: &Bounds,
) -> Result<LeanOutcome, String> {
    let header = Elf::parse_header(&head.bytes).map_err(|_| "the stream is not an ELF core")?;
    let ctx = context(&header).ok_or("the stream is an ELF core of an unknown class")?;
    let layout = Layout::of(header.e_machine)
        .filter(|_| ctx.is_little_endian() == cfg!(target_endian = "little"))
        .ok_or_else(|| format!("cores of machine {} are not made lean", header.e_machine))?;
    let (mut notes, facts) = read_notes(head, stream, layout, scratch)?;
    if facts.threads.is_empty() {
        return Err("the core's notes name no thread".to_owned());
    }
    let loads = write::loads(&head.segments);
    let selected = select::select(
        memory,
        &loads,
        &facts,
        layout.word,
        bounds.memory,
        bounds.deadline,
    );
    let plan = write::plan(&header, ctx, &head.segments, &selected.pieces)?;
    let notes_size = notes.size;
    let notes = notes
        .reader()
        .map_err(|error| format!("the core's notes could not be kept: {error}"))?;
    let mut lean = write::LeanStream::new(&plan, notes, notes_size, memory);
    let workers = if plan.size > BY_ONE_THREAD {
        stream::workers()
    } else {
        0
    };
    let core = stream::store(
        &CoreHead::default(),
        &mut lean,
        file,
        bounds.file,
        workers.min(2),
    );
    let lacks = selected
        .cut
        .map(|why| format!("the lean core lacks memory, because {why}"));
    let unreadable = lean.unreadable;
    let zeros = (unreadable > 0)
        .then(|| format!("{unreadable} bytes of memory could not be read and are zeros"));
    Ok(LeanOutcome {
        core,
        size: plan.size,
        lacks: lacks.or(zeros),
    })
}

fn context(header: &Header) -> Option<Ctx> {
    Some(Ctx::new(
        header.container().ok()?,
        header.endianness().ok()?,
    ))
}

/// Notes as they were, to be written again.
struct Notes {
    held: Vec<u8>,
    spilled: Option<File>,
    size: u64,
}

impl Notes {
    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.spilled {
            return file.write_all(bytes);
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    fn reader(&mut self) -> io::Result<Box<dyn Read + '_>> {
        Ok(match &mut self.spilled {
            Some(file) => {
                file.seek(SeekFrom::Start(0))?;
                Box::new(file)
            }
            None => Box::new(self.held.as_slice()),
        })
    }
}

/// Reads the notes, which the kernel writes right behind the program headers.
fn read_notes(
    head: &CoreHead,
    stream: &mut impl Read,
    layout: Layout,
    scratch: impl FnOnce() -> io::Result<File>,
) -> Result<(Notes, NoteFacts), String> {
    let mut notes = head
        .segments
        .iter()
        .filter(|segment| segment.p_type == PT_NOTE);
    let segment = notes.next().ok_or("the core has no notes")?;
    let size = segment.p_filesz;
    let start = usize::try_from(segment.p_offset).unwrap_or(usize::MAX);
    if size > MAX_NOTES || notes.next().is_some() {
        return Err("the core's notes are not the kernel's".to_owned());
    }
    let begun = head
        .bytes
        .get(start..)
        .ok_or("the core's notes lie far behind its headers")?;
    let failed = |error: io::Error| format!("the core's notes could not be kept: {error}");
    let spilled = (size > HELD_NOTES)
        .then(scratch)
        .transpose()
        .map_err(failed)?;
    let mut notes = Notes {
        held: Vec::new(),
        spilled,
        size,
    };
    let mut scanner = NoteScanner::new(layout);
    let mut source = begun.chain(stream).take(size);
    let mut buffer = vec![0; 64 * 1024];
    let mut left = size;
    while left > 0 {
        let read = source
            .read(&mut buffer)
            .map_err(|error| format!("reading the core's notes failed: {error}"))?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Err("the stream ended within the core's notes".to_owned());
        }
        scanner.feed(bytes);
        notes.add(bytes).map_err(failed)?;
        left = left.saturating_sub(u64::try_from(read).unwrap_or(0));
    }
    Ok((notes, scanner.finish()))
}
