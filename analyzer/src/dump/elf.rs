//! Parses ELF headers and program headers from any reader: a file, or a process's memory.
//!
//! Little-endian, 32 and 64 bit. Cut or absurd tables give what can be read of them.

/// `PT_LOAD`.
pub const PT_LOAD: u32 = 1;
/// `PT_DYNAMIC`.
pub const PT_DYNAMIC: u32 = 2;
/// `PT_INTERP`.
pub const PT_INTERP: u32 = 3;
/// `PT_NOTE`.
pub const PT_NOTE: u32 = 4;
/// Memory that was mapped and is not in the core: how Aground's lean cores mark it.
pub const PT_ABSENT: u32 = 0x6a67_0001;
/// `PT_GNU_EH_FRAME`.
pub const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
/// `PT_ARM_EXIDX`.
pub const PT_ARM_EXIDX: u32 = 0x7000_0001;
/// `PF_X`.
pub const PF_X: u32 = 1;
/// `PF_W`.
pub const PF_W: u32 = 2;
/// `PF_R`.
pub const PF_R: u32 = 4;
/// `ET_CORE`.
pub const ET_CORE: u16 = 4;

/// More program headers than any process has mappings.
const PROGRAM_HEADERS_MAX: u64 = 1 << 20;
const PN_XNUM: u16 = 0xffff;

/// What is read of an ELF header.
#[derive(Clone, Debug, Default)]
pub struct Elf {
    /// 64-bit layout, rather than 32-bit.
    pub is_64: bool,
    /// `e_type`.
    pub kind: u16,
    /// `e_machine`.
    pub machine: u16,
    /// `e_entry`.
    pub entry: u64,
    /// Program headers, as many as could be read.
    pub program_headers: Vec<ProgramHeader>,
    /// How many there should be.
    pub announced: u64,
}

/// One program header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramHeader {
    /// `p_type`.
    pub kind: u32,
    /// `p_flags`.
    pub flags: u32,
    /// `p_offset`.
    pub offset: u64,
    /// `p_vaddr`.
    pub address: u64,
    /// `p_filesz`.
    pub file_size: u64,
    /// `p_memsz`.
    pub memory_size: u64,
    /// `p_align`.
    pub align: u64,
}

/// Why there is no ELF header to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfError {
    /// Fewer bytes than a header has.
    Short,
    /// No ELF magic.
    Magic,
    /// Big-endian.
    BigEndian,
    /// Neither the 32-bit nor the 64-bit class.
    Class,
}

impl Elf {
    /// Reads the header through `read`, which fills a buffer from an offset or says no.
    pub fn read(read: &dyn Fn(u64, &mut [u8]) -> bool) -> Result<Self, ElfError> {
        let mut ident = [0; 16];
        if !read(0, &mut ident) {
            return Err(short_or_foreign(read));
        }
        if !ident.starts_with(b"\x7fELF") {
            return Err(ElfError::Magic);
        }
        let is_64 = match (ident[4], ident[5]) {
            (_, 2) => return Err(ElfError::BigEndian),
            (1, 1) => false,
            (2, 1) => true,
            _ => return Err(ElfError::Class),
        };
        let mut header = [0; 64];
        let header = if is_64 {
            &mut header[..]
        } else {
            &mut header[..52]
        };
        if !read(0, header) {
            return Err(ElfError::Short);
        }
        Ok(Self::from_header(is_64, header, read))
    }

    fn from_header(is_64: bool, header: &[u8], read: &dyn Fn(u64, &mut [u8]) -> bool) -> Self {
        let word = if is_64 { 8 } else { 4 };
        let half = |offset| number(header, offset, 2);
        let (table, sections) = (
            number(header, 24 + word, word),
            number(header, 24 + 2 * word, word),
        );
        let counts = 24 + 3 * word + 6;
        let (entry_size, mut count) = (half(counts), half(counts + 2));
        if count == u64::from(PN_XNUM) {
            // The real count is sh_info of section header 0.
            let mut info = [0; 4];
            let offset = if is_64 { 44 } else { 28 };
            let found = sections
                .checked_add(offset)
                .is_some_and(|at| read(at, &mut info));
            count = if found {
                u64::from(u32::from_le_bytes(info))
            } else {
                count
            };
        }
        let program_headers = read_table(is_64, table, entry_size, count, read);
        let [kind, machine] = [half(16), half(18)].map(|value| u16::try_from(value).unwrap_or(0));
        Elf {
            is_64,
            kind,
            machine,
            entry: number(header, 24, word),
            program_headers,
            announced: count,
        }
    }

    /// Program headers of one kind.
    pub fn of_kind(&self, kind: u32) -> impl Iterator<Item = &ProgramHeader> {
        self.program_headers
            .iter()
            .filter(move |header| header.kind == kind)
    }
}

fn short_or_foreign(read: &dyn Fn(u64, &mut [u8]) -> bool) -> ElfError {
    let mut magic = [0; 4];
    if read(0, &mut magic) && &magic != b"\x7fELF" {
        ElfError::Magic
    } else {
        ElfError::Short
    }
}

fn read_table(
    is_64: bool,
    table: u64,
    entry_size: u64,
    count: u64,
    read: &dyn Fn(u64, &mut [u8]) -> bool,
) -> Vec<ProgramHeader> {
    let mut entry = [0; 56];
    let entry = if is_64 {
        &mut entry[..]
    } else {
        &mut entry[..32]
    };
    let step = if entry_size < entry.len() as u64 {
        entry.len() as u64
    } else {
        entry_size
    };
    let mut headers = Vec::new();
    for index in 0..count.min(PROGRAM_HEADERS_MAX) {
        let at = index
            .checked_mul(step)
            .and_then(|offset| table.checked_add(offset));
        if !at.is_some_and(|at| read(at, entry)) {
            break;
        }
        headers.push(program_header(is_64, entry));
    }
    headers
}

fn program_header(is_64: bool, entry: &[u8]) -> ProgramHeader {
    let at = |offset, length| number(entry, offset, length);
    let small = |offset| u32::try_from(at(offset, 4)).unwrap_or(0);
    if is_64 {
        ProgramHeader {
            kind: small(0),
            flags: small(4),
            offset: at(8, 8),
            address: at(16, 8),
            file_size: at(32, 8),
            memory_size: at(40, 8),
            align: at(48, 8),
        }
    } else {
        ProgramHeader {
            kind: small(0),
            offset: at(4, 4),
            address: at(8, 4),
            file_size: at(16, 4),
            memory_size: at(20, 4),
            flags: small(24),
            align: at(28, 4),
        }
    }
}

/// A little-endian number of `length` (at most 8) bytes; 0 where bytes are missing.
pub fn number(bytes: &[u8], offset: usize, length: usize) -> u64 {
    let mut value = [0; 8];
    let found = offset
        .checked_add(length)
        .and_then(|end| bytes.get(offset..end));
    if let (Some(found), Some(value)) = (found, value.get_mut(..length)) {
        value.copy_from_slice(found);
    }
    u64::from_le_bytes(value)
}

/// One ELF note. `description` may be cut by the reader's limit.
#[derive(Debug)]
pub struct Note<'a> {
    /// Owner, without the closing zero.
    pub name: &'a [u8],
    /// `n_type`.
    pub kind: u32,
    /// Content.
    pub description: &'a [u8],
}

/// Iterates over the notes in a slice, up to the first that does not fit.
pub fn notes(mut bytes: &[u8]) -> impl Iterator<Item = Note<'_>> {
    std::iter::from_fn(move || {
        let [name_size, size] = [0, 4].map(|at| usize::try_from(number(bytes, at, 4)).unwrap_or(0));
        let kind = u32::try_from(number(bytes, 8, 4)).ok()?;
        let body = bytes.get(12..)?;
        let name = body.get(..name_size)?;
        let rest = body.get(name_size.checked_next_multiple_of(4)?..)?;
        let description = rest.get(..size)?;
        bytes = rest.get(size.checked_next_multiple_of(4)?..).unwrap_or(&[]);
        let name = name.strip_suffix(&[0]).unwrap_or(name);
        Some(Note {
            name,
            kind,
            description,
        })
    })
}

/// The GNU build ID among notes, lowercase hexadecimal.
pub fn build_id(bytes: &[u8]) -> Option<String> {
    const NT_GNU_BUILD_ID: u32 = 3;
    let is_build_id = |note: &Note| note.kind == NT_GNU_BUILD_ID && note.name == b"GNU";
    let note = notes(bytes).find(is_build_id)?;
    let sane = (2..=64).contains(&note.description.len());
    sane.then(|| hexadecimal(note.description))
}

/// Bytes as lowercase hexadecimal digits, as build IDs are written.
pub fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
