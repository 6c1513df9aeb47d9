//! Opens an ELF file for unwinding and symbols, and inflates its compressed sections once.
//!
//! Lifetimes tell the story: an [`Image`] owns bytes; an [`Object`] is a parsed view that
//! borrows from it, and everything found in it (sections, names) lives as long as the image.

use crate::dump::elf::{self, Elf, ProgramHeader};
use crate::mapped::Bytes;
use object::{Object as _, ObjectSection as _};
use std::cell::OnceCell;

/// Sections that may be compressed and are needed.
const INFLATABLE: [&str; 14] = [
    ".debug_abbrev",
    ".debug_addr",
    ".debug_aranges",
    ".debug_frame",
    ".debug_info",
    ".debug_line",
    ".debug_line_str",
    ".debug_loc",
    ".debug_loclists",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_str",
    ".debug_str_offsets",
    ".debug_types",
];
/// A section that says it is larger than this is not inflated.
const INFLATED_MAX: u64 = 1 << 30;
/// No compressor of real sections does better than this; more is a bomb.
const INFLATION_MAX: u64 = 2000;
/// A `.gnu_debugdata` larger than this is not inflated.
const DEBUGDATA_MAX: usize = 64 << 20;

/// The bytes of an ELF file.
pub struct Image {
    bytes: Bytes,
    inflated: [OnceCell<Vec<u8>>; INFLATABLE.len()],
    debugdata: OnceCell<Option<Box<Image>>>,
}

impl Image {
    /// Holds bytes that claim to be an ELF file.
    pub fn new(bytes: Bytes) -> Self {
        Image {
            bytes,
            inflated: Default::default(),
            debugdata: OnceCell::new(),
        }
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// ELF and program headers.
    pub fn header(&self) -> Option<Elf> {
        let read = |offset: u64, buffer: &mut [u8]| {
            let found = usize::try_from(offset)
                .ok()
                .and_then(|start| self.bytes.get(start..start.checked_add(buffer.len())?));
            found.map(|found| buffer.copy_from_slice(found)).is_some()
        };
        Elf::read(&read).ok()
    }

    /// Parses the section table.
    pub fn object(&self) -> Option<Object<'_>> {
        let file = object::File::parse(&*self.bytes).ok()?;
        Some(Object {
            image: self,
            file,
            header: self.header()?,
        })
    }

    /// The symbol table that Fedora and others hide in `.gnu_debugdata` as an xz-compressed ELF.
    pub fn debugdata(&self) -> Option<&Image> {
        let inflate = || {
            let object = self.object()?;
            let compressed = object.section(".gnu_debugdata")?.data;
            let mut inflated = Bounded(Vec::new());
            lzma_rs::xz_decompress(&mut &*compressed, &mut inflated).ok()?;
            Some(Box::new(Image::new(Bytes::from(inflated.0))))
        };
        self.debugdata.get_or_init(inflate).as_deref()
    }
}

/// Refuses to grow beyond [`DEBUGDATA_MAX`].
struct Bounded(Vec<u8>);

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > DEBUGDATA_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A section's place and content.
#[derive(Clone, Copy, Debug, Default)]
pub struct Section<'a> {
    /// Address in the file's own address space.
    pub address: u64,
    /// Content, inflated.
    pub data: &'a [u8],
}

/// A parsed ELF file.
pub struct Object<'a> {
    image: &'a Image,
    /// Symbols and sections.
    pub file: object::File<'a>,
    /// Program headers.
    pub header: Elf,
}

impl<'a> Object<'a> {
    /// A section that has content, by name.
    pub fn section(&self, name: &str) -> Option<Section<'a>> {
        let section = self.file.section_by_name(name)?;
        let content = section.compressed_data().ok()?;
        let data = if content.format == object::CompressionFormat::None {
            content.data
        } else {
            let limit = (content.data.len() as u64)
                .saturating_mul(INFLATION_MAX)
                .min(INFLATED_MAX);
            if content.uncompressed_size > limit {
                return None;
            }
            let slot = INFLATABLE.iter().position(|known| *known == name)?;
            let inflate = || {
                content
                    .decompress()
                    .map(std::borrow::Cow::into_owned)
                    .unwrap_or_default()
            };
            self.image.inflated[slot].get_or_init(inflate)
        };
        (!data.is_empty()).then_some(Section {
            address: section.address(),
            data,
        })
    }

    /// What a program header of some kind describes, for files without section headers.
    pub fn segment(&self, kind: u32) -> Option<Section<'a>> {
        let header = self.header.of_kind(kind).next()?;
        let start = usize::try_from(header.offset).ok()?;
        let size = usize::try_from(header.file_size).ok()?;
        Some(Section {
            address: header.address,
            data: self.image.bytes.get(start..start.checked_add(size)?)?,
        })
    }

    /// Content from an address of the file to the end of the segment that holds it.
    pub fn at_address(&self, address: u64) -> Option<Section<'a>> {
        let holds = |load: &&ProgramHeader| {
            address >= load.address && address - load.address < load.file_size
        };
        let load = self.header.of_kind(elf::PT_LOAD).find(holds)?;
        let skip = address - load.address;
        let start = usize::try_from(load.offset.checked_add(skip)?).ok()?;
        let size = usize::try_from(load.file_size - skip).ok()?;
        Some(Section {
            address,
            data: self.image.bytes.get(start..start.checked_add(size)?)?,
        })
    }

    /// Whether a section has content in the file; it is not inflated.
    pub fn has(&self, name: &str) -> bool {
        let section = self.file.section_by_name(name);
        section
            .and_then(|section| section.file_range())
            .is_some_and(|(_, size)| size > 0)
    }

    /// The GNU build ID, lowercase hexadecimal.
    pub fn build_id(&self) -> Option<String> {
        let by_section = || {
            self.section(".note.gnu.build-id")
                .and_then(|s| elf::build_id(s.data))
        };
        let notes = self.header.of_kind(elf::PT_NOTE).filter_map(|header| {
            let start = usize::try_from(header.offset).ok()?;
            let size = usize::try_from(header.file_size).ok()?;
            self.image.bytes.get(start..start.checked_add(size)?)
        });
        notes
            .into_iter()
            .find_map(elf::build_id)
            .or_else(by_section)
    }
}
