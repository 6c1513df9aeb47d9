//! Reads a core: what the kernel, or `gcore`, wrote of a dead process.
//!
//! A core is damaged more often than not (disk full, killed writer, limits), so everything that
//! is missing is a sentence in [`Core::warnings`] and absent memory. Only what is no core at all
//! is an error.

pub mod elf;
pub mod notes;
pub mod source;

use crate::arch::Arch;
use elf::{Elf, ElfError, ProgramHeader};
use notes::Notes;
use source::CoreBytes;

/// Why the bytes are not a core that can be analysed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACore {
    /// Zero bytes.
    #[error("the core is empty")]
    Empty,
    /// Compressed, and nothing could be decompressed.
    #[error("the core is compressed and damaged: nothing could be decompressed")]
    Damaged,
    /// No ELF magic.
    #[error("not an ELF file")]
    NotElf,
    /// The ELF header is cut.
    #[error("the core ends within its ELF header")]
    Short,
    /// A big-endian machine's core.
    #[error("big-endian cores are not supported")]
    BigEndian,
    /// The class byte is neither 32 nor 64 bit.
    #[error("an ELF file of an unknown class")]
    Class,
    /// Some other ELF file.
    #[error("an ELF file, but {0}, not a core")]
    OtherElf(&'static str),
    /// A machine this program does not know.
    #[error("cores of this architecture are not supported (e_machine {0})")]
    UnknownArchitecture(u16),
}

/// One range of the process's memory.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// `PF_R`, `PF_W`, `PF_X`.
    pub flags: u32,
    /// Where its bytes begin in the core.
    offset: u64,
    /// How many bytes there are; the rest of the range is absent.
    size: u64,
}

/// An opened core.
pub struct Core {
    bytes: CoreBytes,
    /// Architecture of the process.
    pub arch: &'static Arch,
    /// Memory ranges in order of address.
    pub segments: Vec<Segment>,
    /// Threads, signal, files.
    pub notes: Notes,
    /// Whether program headers announce more bytes than there are.
    pub truncated: bool,
    /// What is wrong with it.
    pub warnings: Vec<String>,
}

impl Core {
    /// Reads headers and notes.
    pub fn open(bytes: CoreBytes) -> Result<Self, NotACore> {
        if bytes.is_empty() {
            return Err(if bytes.is_compressed() {
                NotACore::Damaged
            } else {
                NotACore::Empty
            });
        }
        let elf = Elf::read(&|offset, buffer| bytes.read(offset, buffer)).map_err(not_a_core)?;
        if elf.kind != elf::ET_CORE {
            return Err(NotACore::OtherElf(kind_name(elf.kind)));
        }
        let arch = Arch::by_machine(elf.machine).filter(|arch| (arch.word == 8) == elf.is_64);
        let arch = arch.ok_or(NotACore::UnknownArchitecture(elf.machine))?;
        let mut core = Core {
            arch,
            segments: segments(&elf),
            notes: Notes::default(),
            truncated: is_truncated(&elf, bytes.len()),
            warnings: Vec::new(),
            bytes,
        };
        for header in elf.of_kind(elf::PT_NOTE) {
            core.read_notes(header);
        }
        core.warn(&elf);
        Ok(core)
    }

    /// Size of the core, uncompressed.
    pub fn size(&self) -> u64 {
        self.bytes.len()
    }

    /// Fills `buffer` from the process's memory. False when the core lacks any of the bytes.
    pub fn read(&self, mut address: u64, mut buffer: &mut [u8]) -> bool {
        while !buffer.is_empty() {
            let Some(segment) = self.segment_at(address) else {
                return false;
            };
            let skip = address - segment.start;
            let available = segment.size.saturating_sub(skip);
            let length = usize::try_from(available)
                .unwrap_or(usize::MAX)
                .min(buffer.len());
            let (head, tail) = buffer.split_at_mut(length);
            let offset = segment.offset.checked_add(skip);
            if length == 0 || !offset.is_some_and(|offset| self.bytes.read(offset, head)) {
                return false;
            }
            buffer = tail;
            address = address.wrapping_add(length as u64);
        }
        true
    }

    /// The range that holds an address.
    pub fn segment_at(&self, address: u64) -> Option<&Segment> {
        let after = self
            .segments
            .partition_point(|segment| segment.start <= address);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        (address < segment.end).then_some(segment)
    }

    fn read_notes(&mut self, header: &ProgramHeader) {
        let mut at = header.offset;
        let end = header.offset.saturating_add(header.file_size);
        let mut head = [0; 12];
        while at.saturating_add(12) <= end && self.bytes.read(at, &mut head) {
            let [name_size, size, kind] =
                [0, 4, 8].map(|offset| u32::try_from(elf::number(&head, offset, 4)).unwrap_or(0));
            let name_at = at + 12;
            let Some(description_at) = name_at.checked_add(padded(name_size)) else {
                break;
            };
            let mut name = vec![0; usize::try_from(name_size.min(16)).unwrap_or(0)];
            let mut description = vec![0; notes::wanted(kind).min(size as usize)];
            let read = self.bytes.read(name_at, &mut name)
                && self.bytes.read(description_at, &mut description);
            if !read {
                break;
            }
            let name = name.strip_suffix(&[0]).unwrap_or(&name);
            self.notes.add(self.arch, name, kind, &description);
            let Some(next) = description_at.checked_add(padded(size)) else {
                break;
            };
            at = next;
        }
    }

    fn warn(&mut self, elf: &Elf) {
        let mut warn = |sentence: &str| self.warnings.push(sentence.to_owned());
        if (elf.program_headers.len() as u64) < elf.announced {
            warn("The core ends within its program headers: parts of memory are not known.");
        }
        if self.truncated {
            warn("The core is truncated: it announces more memory than it holds.");
        }
        if self.notes.threads.is_empty() {
            warn("The core names no threads, so there are no stacks.");
        }
        if self.notes.files.is_empty() {
            warn("The core does not list the mapped files.");
        }
    }
}

fn padded(size: u32) -> u64 {
    u64::from(size).next_multiple_of(4)
}

fn not_a_core(error: ElfError) -> NotACore {
    match error {
        ElfError::Short => NotACore::Short,
        ElfError::Magic => NotACore::NotElf,
        ElfError::BigEndian => NotACore::BigEndian,
        ElfError::Class => NotACore::Class,
    }
}

fn kind_name(kind: u16) -> &'static str {
    match kind {
        1 => "an object file",
        2 => "an executable",
        3 => "a shared object or executable",
        _ => "of an unknown type",
    }
}

fn is_truncated(elf: &Elf, size: u64) -> bool {
    let beyond = |header: &ProgramHeader| {
        header
            .offset
            .checked_add(header.file_size)
            .is_none_or(|end| end > size)
    };
    (elf.program_headers.len() as u64) < elf.announced
        || elf
            .program_headers
            .iter()
            .any(|header| header.file_size > 0 && beyond(header))
}

fn segments(elf: &Elf) -> Vec<Segment> {
    let segment = |header: &ProgramHeader| {
        let end = header.address.checked_add(header.memory_size)?;
        let size = header.file_size.min(header.memory_size);
        let (start, flags, offset) = (header.address, header.flags, header.offset);
        (start < end).then_some(Segment {
            start,
            end,
            flags,
            offset,
            size,
        })
    };
    let mapped = [elf::PT_LOAD, elf::PT_ABSENT];
    let headers = mapped.iter().flat_map(|kind| elf.of_kind(*kind));
    let mut segments: Vec<_> = headers.filter_map(segment).collect();
    segments.sort_by_key(|segment| segment.start);
    segments
}
