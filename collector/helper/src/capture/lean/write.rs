//! Lays a lean core out as an ELF core: header, program headers, notes as they were, memory.
//!
//! A kept piece is a `PT_LOAD` of its own. Memory that is left out has no `PT_LOAD`, because
//! debuggers read zeros where one has no bytes; [`PT_ABSENT`] says that something was mapped there.

use super::select::Load;
use crate::capture::live::Memory;
use goblin::container::{Container, Ctx};
use goblin::elf::program_header::{PT_LOAD, PT_NOTE};
use goblin::elf::{Header, ProgramHeader};
use scroll::Pwrite;
use std::collections::BTreeMap;
use std::io::{self, Read};

/// Type of a program header for memory that was mapped and is not in the core. Ours, among those
/// the ABI leaves to systems (`PT_LOOS` and up), which debuggers skip.
pub const PT_ABSENT: u32 = 0x6a67_0001;
/// `e_phnum` when the count stands in the first section header instead (elf(5)).
const PN_XNUM: u16 = 0xffff;

/// The beginning of a lean core, and the memory that follows its notes.
#[derive(Debug)]
pub struct Plan {
    /// ELF header, program headers, and a section header when they are too many to count otherwise.
    pub head: Vec<u8>,
    /// Ranges of memory in the order of the file.
    pub memory: Vec<(u64, u64)>,
    /// Size of the whole core.
    pub size: u64,
}

/// Lays out a core with the program headers `original`, of which `pieces` are kept.
///
/// # Errors
/// When the sizes do not fit the format, which the kernel's own cores cannot bring about.
pub fn plan(
    header: &Header,
    ctx: Ctx,
    original: &[ProgramHeader],
    pieces: &BTreeMap<u64, u64>,
) -> Result<Plan, String> {
    let mut headers = Vec::new();
    for segment in original {
        match segment.p_type {
            PT_LOAD if segment.p_filesz > 0 => split(segment, pieces, &mut headers),
            _ => headers.push(segment.clone()),
        }
    }
    let too_large = || "the lean core's headers do not fit its format".to_owned();
    let sizes = (Header::size(ctx), ProgramHeader::size(ctx));
    let extended = headers.len() >= usize::from(PN_XNUM);
    let section = if extended { section_size(ctx) } else { 0 };
    let table_end = headers
        .len()
        .checked_mul(sizes.1)
        .and_then(|table| table.checked_add(sizes.0))
        .ok_or_else(too_large)?;
    let head_size = table_end.checked_add(section).ok_or_else(too_large)?;
    let mut offset = u64::try_from(head_size).map_err(|_| too_large())?;
    let mut memory = Vec::new();
    // Notes first, wherever their headers stand.
    let notes_first = [true, false];
    for of_notes in notes_first {
        let these = headers
            .iter_mut()
            .filter(|segment| (segment.p_type == PT_NOTE) == of_notes);
        for segment in these {
            segment.p_offset = offset;
            offset = offset.checked_add(segment.p_filesz).ok_or_else(too_large)?;
            if segment.p_type == PT_LOAD && segment.p_filesz > 0 {
                memory.push((segment.p_vaddr, segment.p_filesz));
            }
        }
    }
    let mut head = vec![0; head_size];
    let mut elf = *header;
    elf.e_phoff = u64::try_from(sizes.0).map_err(|_| too_large())?;
    elf.e_phnum = u16::try_from(headers.len()).unwrap_or(PN_XNUM);
    (elf.e_shoff, elf.e_shnum, elf.e_shentsize, elf.e_shstrndx) = (0, 0, 0, 0);
    if extended {
        elf.e_shoff = u64::try_from(table_end).map_err(|_| too_large())?;
        elf.e_shnum = 1;
        elf.e_shentsize = u16::try_from(section).map_err(|_| too_large())?;
    }
    let write = |error: goblin::error::Error| format!("the lean core's headers: {error}");
    let mut at = 0;
    head.gwrite_with(elf, &mut at, ctx.le).map_err(write)?;
    for segment in &headers {
        head.gwrite_with(segment.clone(), &mut at, ctx)
            .map_err(write)?;
    }
    if extended {
        let count = u32::try_from(headers.len()).map_err(|_| too_large())?;
        let info = at.checked_add(section_info(ctx)).ok_or_else(too_large)?;
        head.pwrite_with(count, info, ctx.le)
            .map_err(|error| write(error.into()))?;
    }
    Ok(Plan {
        head,
        memory,
        size: offset,
    })
}

/// Size of a section header, and where its `sh_info` stands.
fn section_size(ctx: Ctx) -> usize {
    if ctx.container == Container::Big {
        64
    } else {
        40
    }
}

fn section_info(ctx: Ctx) -> usize {
    if ctx.container == Container::Big {
        44
    } else {
        28
    }
}

/// Adds the kept pieces of a segment and what lies between them, in order of address.
fn split(segment: &ProgramHeader, pieces: &BTreeMap<u64, u64>, headers: &mut Vec<ProgramHeader>) {
    let end = segment.p_vaddr.saturating_add(segment.p_filesz);
    let mapped_end = segment.p_vaddr.saturating_add(segment.p_memsz).max(end);
    let mut at = segment.p_vaddr;
    let mut push = |kind, from: u64, to: u64, memory_end: u64| {
        headers.push(ProgramHeader {
            p_type: kind,
            p_vaddr: from,
            p_paddr: 0,
            p_filesz: to.saturating_sub(from),
            p_memsz: memory_end.saturating_sub(from),
            p_align: 1,
            ..segment.clone()
        });
    };
    // A piece that begins before the segment reaches into it.
    let before = pieces.range(..at).next_back().map(|(start, _)| *start);
    for (start, piece_end) in pieces.range(before.unwrap_or(at)..end) {
        let (from, to) = (at.max(*start), end.min(*piece_end));
        if from >= to {
            continue;
        }
        if at < from {
            push(PT_ABSENT, at, at, from);
        }
        let memory_end = if to == end { mapped_end } else { to };
        push(PT_LOAD, from, to, memory_end);
        at = to;
    }
    if at < end {
        push(PT_ABSENT, at, at, mapped_end);
    }
}

/// The ranges the kernel dumps, in order of address; ranges that overlap are left out.
pub fn loads(headers: &[ProgramHeader]) -> Vec<Load> {
    const PF_W: u32 = 2;
    let dumped = headers
        .iter()
        .filter(|segment| segment.p_type == PT_LOAD && segment.p_filesz > 0);
    let mut loads: Vec<Load> = dumped
        .map(|segment| Load {
            start: segment.p_vaddr,
            end: segment.p_vaddr.saturating_add(segment.p_filesz),
            mapped_end: segment.p_vaddr.saturating_add(segment.p_memsz),
            writable: segment.p_flags & PF_W != 0,
        })
        .collect();
    loads.sort_by_key(|load| load.start);
    let mut end = 0;
    loads.retain(|load| {
        let apart = load.start >= end;
        end = end.max(load.end);
        apart
    });
    loads
}

/// A lean core as a stream: head, notes, memory.
pub struct LeanStream<'a, N, M> {
    head: &'a [u8],
    notes: N,
    notes_left: u64,
    memory: &'a M,
    ranges: std::slice::Iter<'a, (u64, u64)>,
    current: (u64, u64),
    /// Bytes that could not be read, and are zeros.
    pub unreadable: u64,
}

impl<'a, N: Read, M: Memory> LeanStream<'a, N, M> {
    /// The core of `plan`, whose notes are the next `notes_size` bytes of `notes`.
    pub fn new(plan: &'a Plan, notes: N, notes_size: u64, memory: &'a M) -> Self {
        Self {
            head: &plan.head,
            notes,
            notes_left: notes_size,
            memory,
            ranges: plan.memory.iter(),
            current: (0, 0),
            unreadable: 0,
        }
    }
}

impl<N: Read, M: Memory> Read for LeanStream<'_, N, M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.head.is_empty() {
            return self.head.read(buffer);
        }
        if self.notes_left > 0 {
            let most = usize::try_from(self.notes_left).unwrap_or(usize::MAX);
            let room = buffer.len().min(most);
            let read = self
                .notes
                .read(buffer.get_mut(..room).unwrap_or_default())?;
            if read == 0 && room > 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.notes_left = self
                .notes_left
                .saturating_sub(u64::try_from(read).unwrap_or(0));
            return Ok(read);
        }
        while self.current.1 == 0 {
            match self.ranges.next() {
                Some(range) => self.current = *range,
                None => return Ok(0),
            }
        }
        let (address, left) = self.current;
        let room = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let part = buffer.get_mut(..room).unwrap_or_default();
        let read = self.memory.read(address, part);
        // A page that cannot be read hides nothing but itself.
        let length = if read > 0 {
            read
        } else {
            room.min(page_rest(address))
        };
        if read == 0 {
            part.get_mut(..length).unwrap_or_default().fill(0);
            let zeros = u64::try_from(length).unwrap_or(0);
            self.unreadable = self.unreadable.saturating_add(zeros);
        }
        let done = u64::try_from(length).unwrap_or(0);
        self.current = (address.saturating_add(done), left.saturating_sub(done));
        Ok(length)
    }
}

/// Bytes from `address` to the end of its page.
fn page_rest(address: u64) -> usize {
    usize::try_from(4096 - address % 4096).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn segment(kind: u32, start: u64, file: u64, memory: u64) -> ProgramHeader {
        ProgramHeader {
            p_type: kind,
            p_flags: 6,
            p_vaddr: start,
            p_filesz: file,
            p_memsz: memory,
            p_align: 4096,
            ..ProgramHeader::default()
        }
    }

    fn header() -> Header {
        let mut header = Header::new(Ctx::default());
        header.e_type = 4;
        header.e_phentsize = 56;
        header
    }

    /// Address-dependent bytes.
    struct Pattern;

    impl Memory for Pattern {
        fn read(&self, address: u64, buffer: &mut [u8]) -> usize {
            for (at, byte) in (address..).zip(buffer.iter_mut()) {
                *byte = (at % 251) as u8;
            }
            buffer.len()
        }
    }

    fn written(original: &[ProgramHeader], pieces: &[(u64, u64)]) -> (Vec<u8>, Vec<ProgramHeader>) {
        let ctx = Ctx::default();
        let plan = plan(&header(), ctx, original, &pieces.iter().copied().collect()).unwrap();
        let notes = vec![0xaa; 100];
        let mut bytes = Vec::new();
        let mut stream = LeanStream::new(&plan, notes.as_slice(), 100, &Pattern);
        stream.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, plan.size);
        let elf = goblin::elf::Elf::parse_header(&bytes).unwrap();
        let count = if elf.e_phnum == PN_XNUM {
            let info = usize::try_from(elf.e_shoff).unwrap() + 44;
            u32::from_le_bytes(bytes[info..info + 4].try_into().unwrap()) as usize
        } else {
            usize::from(elf.e_phnum)
        };
        let headers = ProgramHeader::parse(&bytes, 64, count, ctx).unwrap();
        (bytes, headers)
    }

    #[test]
    fn pieces_are_written_and_gaps_are_marked() {
        let original = [
            segment(PT_NOTE, 0, 100, 0),
            segment(PT_LOAD, 0x1000, 0, 0x1000),
            segment(PT_LOAD, 0x4000, 0x3000, 0x3000),
            segment(PT_LOAD, 0x9000, 0x1000, 0x5000),
        ];
        let pieces = [(0x4800, 0x5000), (0x6f00, 0x7000), (0x9000, 0xa000)];
        let (bytes, headers) = written(&original, &pieces);
        let shown: Vec<_> = headers
            .iter()
            .map(|h| (h.p_type, h.p_vaddr, h.p_filesz, h.p_memsz))
            .collect();
        assert_eq!(
            shown,
            [
                (PT_NOTE, 0, 100, 0),
                (PT_LOAD, 0x1000, 0, 0x1000),
                (PT_ABSENT, 0x4000, 0, 0x800),
                (PT_LOAD, 0x4800, 0x800, 0x800),
                (PT_ABSENT, 0x5000, 0, 0x1f00),
                (PT_LOAD, 0x6f00, 0x100, 0x100),
                (PT_LOAD, 0x9000, 0x1000, 0x5000),
            ]
        );
        for piece in headers
            .iter()
            .filter(|h| h.p_type == PT_LOAD && h.p_filesz > 0)
        {
            let start = usize::try_from(piece.p_offset).unwrap();
            for (index, byte) in (0..piece.p_filesz).zip(&bytes[start..]) {
                assert_eq!(u64::from(*byte), (piece.p_vaddr + index) % 251);
            }
        }
        let notes = usize::try_from(headers[0].p_offset).unwrap();
        assert_eq!(&bytes[notes..notes + 100], [0xaa; 100]);
    }

    #[test]
    fn a_piece_may_reach_over_segments() {
        let original = [
            segment(PT_NOTE, 0, 100, 0),
            segment(PT_LOAD, 0x1000, 0x1000, 0x1000),
            segment(PT_LOAD, 0x2000, 0x1000, 0x1000),
        ];
        let (_, headers) = written(&original, &[(0x1800, 0x2800)]);
        let kept = headers.iter().filter(|h| h.p_type == PT_LOAD);
        let kept: Vec<_> = kept.map(|h| (h.p_vaddr, h.p_filesz)).collect();
        assert_eq!(kept, [(0x1800, 0x800), (0x2000, 0x800)]);
    }

    #[test]
    fn more_headers_than_sixteen_bits_count_are_written() {
        let mut original = vec![segment(PT_NOTE, 0, 100, 0)];
        original.extend((1..70_000u64).map(|at| segment(PT_LOAD, at * 0x2000, 0x1000, 0x1000)));
        let (_, headers) = written(&original, &[(0x2000, 0x3000)]);
        assert_eq!(headers.len(), 70_000);
        assert_eq!((headers[1].p_type, headers[2].p_type), (PT_LOAD, PT_ABSENT));
    }

    #[test]
    fn what_cannot_be_read_is_zeros_and_counted() {
        struct Hole;
        impl Memory for Hole {
            fn read(&self, address: u64, buffer: &mut [u8]) -> usize {
                if address < 0x2000 {
                    return 0;
                }
                buffer.fill(7);
                buffer.len()
            }
        }
        let original = [segment(PT_LOAD, 0x1800, 0x1000, 0x1000)];
        let pieces = BTreeMap::from([(0x1800, 0x2800)]);
        let plan = plan(&header(), Ctx::default(), &original, &pieces).unwrap();
        let mut stream = LeanStream::new(&plan, io::empty(), 0, &Hole);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        assert_eq!(stream.unreadable, 0x800);
        let memory = &bytes[plan.head.len()..];
        assert!(memory[..0x800].iter().all(|b| *b == 0) && memory[0x800..].iter().all(|b| *b == 7));
    }

    #[test]
    fn loads_that_overlap_are_left_out() {
        let headers = [
            segment(PT_LOAD, 0x5000, 0x1000, 0x1000),
            segment(PT_LOAD, 0x1000, 0x9000, 0x9000),
            segment(PT_LOAD, u64::MAX - 5, 100, 100),
        ];
        let starts: Vec<_> = loads(&headers).iter().map(|load| load.start).collect();
        assert_eq!(starts, [0x1000, u64::MAX - 5]);
    }
}
