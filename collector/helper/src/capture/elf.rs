//! Reads the little of ELF the helper needs: a core's size from its program headers, and a
//! file's build ID from its notes.

use crate::bounded::ReadAt;
use goblin::container::Ctx;
use goblin::elf::program_header::{PT_LOAD, PT_NOTE};
use goblin::elf::{Elf, Header, ProgramHeader};
use std::io::{self, Read};

/// Size of the larger (64-bit) ELF header.
const HEADER: usize = 64;
/// Most bytes of headers held in memory: a core of 149,000 mappings.
const MAX_HEADERS: usize = 8 << 20;
/// Most bytes read of one note segment of a module.
const MAX_NOTES: usize = 64 * 1024;
/// `e_phnum` when there are more program headers than 16 bits can count (elf(5), `PN_XNUM`).
const PN_XNUM: u16 = 0xffff;

/// The beginning of a core stream, and what it announces.
#[derive(Debug, Default)]
pub struct CoreHead {
    /// The bytes read so far; they belong to the core.
    pub bytes: Vec<u8>,
    /// The size of the whole core; `None` when the headers do not tell.
    pub size: Option<u64>,
    /// Its program headers; empty when they cannot be read.
    pub segments: Vec<ProgramHeader>,
    /// Why the size is not known.
    pub problem: Option<String>,
}

/// Reads the headers of a core from the beginning of `stream`.
pub fn read_core_head(stream: &mut impl Read) -> CoreHead {
    let mut bytes = Vec::new();
    match announced(stream, &mut bytes) {
        Ok((size, segments)) => CoreHead {
            bytes,
            size: Some(size),
            segments,
            problem: None,
        },
        Err(problem) => CoreHead {
            bytes,
            problem: Some(problem),
            ..CoreHead::default()
        },
    }
}

/// Size and program headers.
fn announced(
    stream: &mut impl Read,
    bytes: &mut Vec<u8>,
) -> Result<(u64, Vec<ProgramHeader>), String> {
    fill(stream, bytes, HEADER)?;
    if bytes.is_empty() {
        return Err("the core stream was empty".to_owned());
    }
    let (header, ctx) = header_of(bytes).ok_or("the stream is not an ELF core")?;
    let entry =
        entry_size(&header, ctx).ok_or("the core's program headers have an unknown size")?;
    let table = usize::try_from(header.e_phoff).map_err(|_| "the core's headers lie outside it")?;
    let mut count = usize::from(header.e_phnum);
    if header.e_phnum == PN_XNUM {
        count = count_extended(stream, bytes, table, entry, ctx)?;
    }
    let end = count
        .checked_mul(entry)
        .and_then(|size| size.checked_add(table));
    let end = end
        .filter(|end| *end <= MAX_HEADERS)
        .ok_or("the core has too many program headers to read")?;
    fill(stream, bytes, end)?;
    if bytes.len() < end {
        return Err(format!(
            "the stream ended within its headers, at byte {}",
            bytes.len()
        ));
    }
    let headers = ProgramHeader::parse(bytes, table, count, ctx)
        .map_err(|_| "the core's program headers are damaged")?;
    let size = size_of_core(&header, &headers, end)
        .ok_or_else(|| "the core's program headers are damaged".to_owned())?;
    Ok((size, headers))
}

/// With `PN_XNUM` the count stands in a section header at the very end of the core, which a
/// stream has not reached. But the kernel puts the notes right behind the program headers
/// (`elf_core_dump` in `fs/binfmt_elf.c`) and their header first: where they begin, the table ends.
fn count_extended(
    stream: &mut impl Read,
    bytes: &mut Vec<u8>,
    table: usize,
    entry: usize,
    ctx: Ctx,
) -> Result<usize, String> {
    let unknown = "the core does not tell how many program headers it has";
    let first_end = table
        .checked_add(entry)
        .filter(|end| *end <= MAX_HEADERS)
        .ok_or(unknown)?;
    fill(stream, bytes, first_end)?;
    let first = ProgramHeader::parse(bytes, table, 1, ctx).map_err(|_| unknown)?;
    let notes = first
        .first()
        .filter(|first| first.p_type == PT_NOTE)
        .ok_or(unknown)?;
    let length = usize::try_from(notes.p_offset)
        .ok()
        .and_then(|offset| offset.checked_sub(table))
        .ok_or(unknown)?;
    length
        .checked_div(entry)
        .filter(|count| *count >= usize::from(PN_XNUM))
        .ok_or_else(|| unknown.to_owned())
}

fn size_of_core(header: &Header, headers: &[ProgramHeader], end_of_headers: usize) -> Option<u64> {
    let mut size = u64::try_from(end_of_headers).ok()?;
    for segment in headers
        .iter()
        .filter(|segment| matches!(segment.p_type, PT_LOAD | PT_NOTE))
    {
        size = size.max(segment.p_offset.checked_add(segment.p_filesz)?);
    }
    let sections = u64::from(header.e_shnum).checked_mul(u64::from(header.e_shentsize))?;
    let sections_end = header.e_shoff.checked_add(sections)?;
    Some(if header.e_shoff == 0 {
        size
    } else {
        size.max(sections_end)
    })
}

fn header_of(bytes: &[u8]) -> Option<(Header, Ctx)> {
    let header = Elf::parse_header(bytes).ok()?;
    let ctx = Ctx::new(header.container().ok()?, header.endianness().ok()?);
    Some((header, ctx))
}

/// Size of one program header, if the file says the same as its class.
fn entry_size(header: &Header, ctx: Ctx) -> Option<usize> {
    let size = ProgramHeader::size(ctx);
    (usize::from(header.e_phentsize) == size).then_some(size)
}

/// Reads until `bytes` holds `length`, or the stream ends.
fn fill(stream: &mut impl Read, bytes: &mut Vec<u8>, length: usize) -> Result<(), String> {
    let missing = length.saturating_sub(bytes.len());
    bytes.reserve(missing.min(64 * 1024));
    let missing = u64::try_from(missing).unwrap_or(0);
    let read = stream.take(missing).read_to_end(bytes);
    read.map(|_| ())
        .map_err(|error| format!("reading the core failed: {error}"))
}

/// What the beginning of a mapped file says about it.
#[derive(Debug, PartialEq, Eq)]
pub enum FileKind {
    /// An ELF file, and its GNU build ID in lowercase hexadecimal if it has one.
    Elf(Option<String>),
    /// Something else.
    Other,
}

/// Looks at the headers and notes of a file.
pub fn file_kind(file: &mut impl ReadAt) -> io::Result<FileKind> {
    let head = file.read_at(0, HEADER)?;
    if !head.starts_with(b"\x7fELF") {
        return Ok(FileKind::Other);
    }
    Ok(FileKind::Elf(build_id(file, &head)))
}

fn build_id(file: &mut impl ReadAt, head: &[u8]) -> Option<String> {
    let (header, ctx) = header_of(head)?;
    let length = usize::from(header.e_phnum).checked_mul(entry_size(&header, ctx)?)?;
    let table = file.read_at(header.e_phoff, length).ok()?;
    let count = table.len().checked_div(ProgramHeader::size(ctx))?;
    let headers = ProgramHeader::parse(&table, 0, count, ctx).ok()?;
    let mut notes = headers
        .iter()
        .filter(|segment| segment.p_type == PT_NOTE)
        .take(16);
    notes.find_map(|segment| {
        let length = usize::try_from(segment.p_filesz).ok()?.min(MAX_NOTES);
        let notes = file.read_at(segment.p_offset, length).ok()?;
        gnu_build_id(
            &notes,
            ctx.is_little_endian(),
            usize::try_from(segment.p_align).ok()?,
        )
    })
}

/// The descriptor of the note of type `NT_GNU_BUILD_ID` (3) with the name `GNU`.
fn gnu_build_id(mut notes: &[u8], little_endian: bool, align: usize) -> Option<String> {
    let align = if align == 8 { 8 } else { 4 };
    let word = |bytes: &[u8], at: usize| {
        let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(if little_endian {
            u32::from_le_bytes(four)
        } else {
            u32::from_be_bytes(four)
        })
        .ok()
    };
    loop {
        let (name_size, desc_size, kind) = (word(notes, 0)?, word(notes, 4)?, word(notes, 8)?);
        let name_end = 12usize.checked_add(name_size)?;
        let desc_start = name_end.checked_next_multiple_of(align)?;
        let desc_end = desc_start.checked_add(desc_size)?;
        if kind == 3 && notes.get(12..name_end)? == b"GNU\0" {
            let desc = notes
                .get(desc_start..desc_end)
                .filter(|desc| (1..=64).contains(&desc.len()))?;
            return Some(hex(desc));
        }
        notes = notes.get(desc_end.checked_next_multiple_of(align)?..)?;
    }
}

/// Lowercase hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('?');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A core by hand: 64-bit little-endian, `segments` as (type, offset, file size).
    fn core(e_phnum: u16, segments: &[(u32, u64, u64)]) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend([4, 0, 62, 0, 1, 0, 0, 0]);
        bytes.extend(0u64.to_le_bytes());
        bytes.extend(64u64.to_le_bytes());
        bytes.extend([0; 12]);
        bytes.extend(64u16.to_le_bytes());
        bytes.extend(56u16.to_le_bytes());
        bytes.extend(e_phnum.to_le_bytes());
        bytes.extend([0; 6]);
        for (kind, offset, size) in segments {
            bytes.extend(kind.to_le_bytes());
            bytes.extend([0; 4]);
            for word in [*offset, 0, 0, *size, *size, 1] {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes
    }

    #[test]
    fn the_size_is_the_end_of_the_last_segment() {
        let bytes = core(2, &[(4, 176, 1000), (1, 4096, 8192)]);
        assert_eq!(read_core_head(&mut bytes.as_slice()).size, Some(12288));
        let none = core(0, &[]);
        assert_eq!(read_core_head(&mut none.as_slice()).size, Some(64));
    }

    #[test]
    fn more_headers_than_sixteen_bits_count_are_found() {
        let mut segments = vec![(4, 64 + 56 * 70_000, 100)];
        segments.extend((1..70_000u64).map(|index| (1, 8_000_000 + index * 4096, 4096)));
        let head = read_core_head(&mut core(PN_XNUM, &segments).as_slice());
        assert_eq!(
            (head.size, head.problem),
            (Some(8_000_000 + 70_000 * 4096), None)
        );
    }

    #[test]
    fn a_core_of_a_32_bit_process_is_measured() {
        let mut bytes = b"\x7fELF\x01\x01\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend([
            4, 0, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 52, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ]);
        bytes.extend([52, 0, 32, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        for word in [1u32, 4096, 0, 0, 500, 500, 0, 0] {
            bytes.extend(word.to_le_bytes());
        }
        assert_eq!(read_core_head(&mut bytes.as_slice()).size, Some(4596));
    }

    #[test]
    fn no_cut_and_no_damage_is_believed() {
        let bytes = core(2, &[(4, 176, 1000), (1, 4096, 8192)]);
        for cut in 0..bytes.len() {
            let head = read_core_head(&mut &bytes[..cut]);
            assert_eq!(head.size, None, "cut at {cut}");
            assert!(head.problem.is_some());
            assert_eq!(head.bytes, &bytes[..cut]);
        }
        let overflow = core(1, &[(1, u64::MAX, 2)]);
        assert_eq!(read_core_head(&mut overflow.as_slice()).size, None);
        assert_eq!(read_core_head(&mut [b'x'; 4096].as_slice()).size, None);
        let mut entry = bytes.clone();
        entry[54] = 57;
        assert_eq!(read_core_head(&mut entry.as_slice()).size, None);
    }

    #[test]
    fn build_ids_are_found_among_other_notes() {
        let note = |name: &[u8], kind: u32, desc: &[u8]| {
            let mut bytes = Vec::new();
            bytes.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
            bytes.extend(u32::try_from(desc.len()).unwrap().to_le_bytes());
            bytes.extend(kind.to_le_bytes());
            bytes.extend(name);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend(desc);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let mut notes = note(b"GNU\0", 1, &[0; 16]);
        notes.extend(note(b"Go\0\0", 3, b"abc"));
        notes.extend(note(b"GNU\0", 3, &[0xde, 0xad, 0x01]));
        assert_eq!(gnu_build_id(&notes, true, 4).as_deref(), Some("dead01"));
        for cut in 0..notes.len() - 1 {
            assert_eq!(gnu_build_id(&notes[..cut], true, 4), None, "cut at {cut}");
        }
        assert_eq!(gnu_build_id(&[0xff; 64], true, 4), None);
    }
}
