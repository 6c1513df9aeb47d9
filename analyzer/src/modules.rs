//! Finds out which ELF files were mapped where, and gets hold of the very same files.
//!
//! The core holds only the first page of each file (its headers and usually its build ID), so
//! unwinding and symbols need the files. A file counts only if its build ID is the one in the
//! process's memory; one that is something else is refused and the module says so.

mod link_map;
mod unlisted;

use crate::dump::Core;
use crate::dump::elf::{self, Elf, PF_W, ProgramHeader};
use crate::dump::notes::FileMapping;
use crate::image::{Image, Object};
use crate::mapped::Bytes;
use crate::symbols::known::Known;
use std::collections::HashMap;

pub(crate) const AT_PHDR: u64 = 3;
const AT_PAGESZ: u64 = 6;
pub(crate) const AT_ENTRY: u64 = 9;
const AT_SYSINFO_EHDR: u64 = 33;
/// The kernel maps two pages; what claims to be larger than this is not a vDSO.
const VDSO_MAX: u64 = 1 << 20;
/// No linker puts more notes into one file than this.
const NOTES_MAX: u64 = 1 << 16;

/// What is asked of a [`ModuleSource`].
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Path as the process saw it.
    pub path: &'a str,
    /// Lowest mapped address.
    pub base: u64,
    /// Build ID in the process's memory.
    pub build_id: Option<&'a str>,
    /// Whether this is the program itself.
    pub is_executable: bool,
}

/// A file that may be what was asked for.
#[derive(Clone)]
pub struct Offer {
    /// Its content.
    pub bytes: Bytes,
    /// Where it comes from, as the report's `image` calls it.
    pub origin: &'static str,
}

/// What is asked for when a module's own file lacks debug information.
#[derive(Clone, Copy, Debug)]
pub struct WantedDebug<'a> {
    /// The module's path as the process saw it.
    pub module: &'a str,
    /// The module's build ID.
    pub build_id: Option<&'a str>,
    /// Name and CRC in its `.gnu_debuglink`.
    pub link: Option<(&'a str, u32)>,
}

/// What is asked for when the debug information of a unit is in a file of its own.
#[derive(Clone, Copy, Debug)]
pub struct WantedUnit<'a> {
    /// The module's path as the process saw it.
    pub module: &'a str,
    /// The number that is in both files.
    pub id: u64,
    /// Where it was compiled.
    pub directory: Option<&'a str>,
    /// The file's name there.
    pub name: Option<&'a str>,
}

/// Where files come from: descriptors handed in by the daemon, or directories offline.
pub trait ModuleSource {
    /// Files that may be the module, best first. The analysis verifies them.
    fn images(&mut self, wanted: Wanted<'_>) -> Vec<Offer>;

    /// A file of separate debug information; the source verifies the debug link's CRC.
    fn debug_file(&mut self, _wanted: WantedDebug<'_>) -> Option<Offer> {
        None
    }

    /// The supplementary file that several debug files share (`.gnu_debugaltlink`).
    fn shared_debug_file(&mut self, _path: &str, _build_id: &str) -> Option<Offer> {
        None
    }

    /// Files that may hold the debug information of a unit (`.dwo`, `.dwp`), best first.
    fn unit_files(&mut self, _wanted: WantedUnit<'_>) -> Vec<Offer> {
        Vec::new()
    }

    /// What was found out before of a module's code, if that is to be used and added to.
    fn known(&mut self, _wanted: Wanted<'_>) -> Option<Known> {
        None
    }

    /// The text of a source file, by the path in the debug information.
    fn source(&mut self, _path: &str) -> Option<String> {
        None
    }
}

/// A module found in the core, with the file that was verified to be it.
pub struct Found {
    /// Path as the process saw it.
    pub path: String,
    /// Its mappings, in order of address.
    pub mappings: Vec<FileMapping>,
    /// Build ID: from memory, or else of the verified file.
    pub build_id: Option<String>,
    /// The file.
    pub image: Option<Image>,
    /// Where it came from; `missing` when there is none.
    pub origin: &'static str,
    /// What is wrong with it.
    pub problem: Option<String>,
    /// Whether this is the program itself.
    pub is_executable: bool,
    header: Option<Elf>,
}

/// A module with its parsed file.
pub struct Module<'a> {
    /// What was found.
    pub found: &'a Found,
    /// The parsed file.
    pub object: Option<Object<'a>>,
    /// What to subtract from a process address to get an address of the file.
    pub bias: u64,
}

impl Found {
    /// Lowest mapped address.
    pub fn base(&self) -> u64 {
        self.mappings.first().map_or(0, |mapping| mapping.start)
    }

    /// First address after the last mapping.
    pub fn end(&self) -> u64 {
        self.mappings
            .iter()
            .map(|mapping| mapping.end)
            .max()
            .unwrap_or(0)
    }

    /// How to ask for it.
    pub fn wanted(&self) -> Wanted<'_> {
        Wanted {
            path: &self.path,
            base: self.base(),
            build_id: self.build_id.as_deref(),
            is_executable: self.is_executable,
        }
    }

    /// Whether it is the kernel's own object, of which no file exists.
    pub fn is_of_the_kernel(&self) -> bool {
        self.origin == "memory"
    }

    /// The last component of the path.
    pub fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    fn contains(&self, address: u64) -> bool {
        self.mappings
            .iter()
            .any(|mapping| (mapping.start..mapping.end).contains(&address))
    }

    /// Parses the file.
    pub fn module(&self, page: u64) -> Module<'_> {
        let object = self.image.as_ref().and_then(Image::object);
        let header = object
            .as_ref()
            .map(|object| &object.header)
            .or(self.header.as_ref());
        let bias = header.map_or_else(|| self.base(), |header| bias(header, &self.mappings, page));
        Module {
            found: self,
            object,
            bias,
        }
    }
}

impl Module<'_> {
    /// Whether the file's bytes at this address are what the process saw: it was mapped there
    /// from a segment that nobody could write to.
    pub fn is_constant(&self, address: u64, page: u64) -> bool {
        let Some(object) = &self.object else {
            return false;
        };
        let own = address.wrapping_sub(self.bias);
        let loads: Vec<&ProgramHeader> = object.header.of_kind(elf::PT_LOAD).collect();
        let holds = |load: &&&ProgramHeader| {
            let (start, end) = (load.address, load.address.saturating_add(load.file_size));
            (floor(start, page)..ceiling(end, page)).contains(&own)
        };
        let mut holding = loads.iter().filter(holds).peekable();
        holding.peek().is_some() && holding.all(|load| load.flags & PF_W == 0)
    }
}

fn floor(value: u64, page: u64) -> u64 {
    value & !(page - 1)
}

fn ceiling(value: u64, page: u64) -> u64 {
    value
        .checked_add(page - 1)
        .map_or(u64::MAX, |value| floor(value, page))
}

/// The page size the process saw.
pub fn page_size(core: &Core) -> u64 {
    let announced = core.notes.auxiliary(AT_PAGESZ);
    announced
        .filter(|size| size.is_power_of_two() && (4096..=1 << 16).contains(size))
        .unwrap_or(4096)
}

/// The load bias on which most mappings agree. Taken by file offset, not from the lowest mapping:
/// the first segment need not start at address 0, nor need the mappings be in the file's order.
fn bias(header: &Elf, mappings: &[FileMapping], page: u64) -> u64 {
    let mut votes: Vec<(u64, usize)> = Vec::new();
    for mapping in mappings {
        for load in header.of_kind(elf::PT_LOAD) {
            let covered =
                floor(load.offset, page)..ceiling(load.offset.saturating_add(load.file_size), page);
            if !covered.contains(&mapping.offset) {
                continue;
            }
            let own = mapping
                .offset
                .wrapping_sub(load.offset)
                .wrapping_add(load.address);
            let candidate = mapping.start.wrapping_sub(own);
            match votes.iter_mut().find(|(known, _)| *known == candidate) {
                Some((_, count)) => *count += 1,
                None => votes.push((candidate, 1)),
            }
        }
    }
    let most = votes.iter().rev().max_by_key(|(_, count)| *count);
    most.map_or_else(
        || mappings.first().map_or(0, |mapping| mapping.start),
        |(bias, _)| *bias,
    )
}

/// Finds all modules of a core and gets their files.
pub fn discover(core: &Core, source: &mut dyn ModuleSource) -> Vec<Found> {
    let page = page_size(core);
    let entry = core
        .notes
        .auxiliary(AT_ENTRY)
        .or_else(|| core.notes.auxiliary(AT_PHDR));
    let mut modules = Vec::new();
    for mut found in by_path(core, page) {
        found.is_executable = entry.is_some_and(|entry| found.contains(entry));
        found.build_id = found
            .header
            .as_ref()
            .and_then(|header| memory_build_id(core, header, &found, page));
        found.load(core, source);
        if found.is_elf(core) {
            modules.push(found);
        }
    }
    modules.extend(vdso(core));
    let unlisted = unlisted::discover(core, source, &modules, page);
    modules.extend(unlisted);
    modules.sort_by_key(Found::base);
    modules
}

impl Found {
    fn new(path: String, header: Option<Elf>) -> Self {
        Found {
            path,
            mappings: Vec::new(),
            build_id: None,
            image: None,
            origin: "missing",
            problem: None,
            is_executable: false,
            header,
        }
    }

    /// Data files that a process maps are no modules. A file that was not found counts when
    /// code of it was mapped.
    fn is_elf(&self, core: &Core) -> bool {
        let executable = |mapping: &FileMapping| {
            core.segment_at(mapping.start)
                .is_some_and(|segment| segment.flags & elf::PF_X != 0)
        };
        self.header.is_some() || self.image.is_some() || self.mappings.iter().any(executable)
    }

    fn load(&mut self, core: &Core, source: &mut dyn ModuleSource) {
        let wanted = self.wanted();
        let mut problem = None;
        for offer in source.images(wanted) {
            let image = Image::new(offer.bytes);
            match self.verify(core, &image, offer.origin) {
                Ok((build_id, remark)) => {
                    self.build_id = self.build_id.take().or(build_id);
                    self.image = Some(image);
                    self.origin = offer.origin;
                    self.problem = remark;
                    return;
                }
                Err(reason) => problem = problem.or(Some(reason)),
            }
        }
        self.problem = problem;
    }

    /// Whether a file is the one that was mapped: its build ID and a remark, or why not.
    fn verify(
        &self,
        core: &Core,
        image: &Image,
        origin: &str,
    ) -> Result<(Option<String>, Option<String>), String> {
        let object = image
            .object()
            .ok_or_else(|| format!("the {origin} file is not an ELF file"))?;
        if object.header.machine != core.arch.machine {
            return Err(format!("the {origin} file is of another architecture"));
        }
        let build_id = object.build_id();
        match (&self.build_id, &build_id) {
            (Some(memory), Some(file)) if memory == file => return Ok((build_id, None)),
            (Some(memory), Some(file)) => {
                return Err(format!(
                    "the {origin} file has build ID {file}, the process had {memory}"
                ));
            }
            (Some(memory), None) => {
                return Err(format!(
                    "the {origin} file has no build ID, the process had {memory}"
                ));
            }
            (None, _) => {}
        }
        let compared = self.compare_first_page(core, image);
        if compared == Some(false) {
            return Err(format!(
                "the {origin} file's first page is not the one in memory"
            ));
        }
        let remark = match compared {
            // Taken through the process's own mapping: the same inode.
            _ if origin == "captured" => None,
            Some(_) => {
                Some("not verified by build ID, only its first page was compared".to_owned())
            }
            None => Some(
                "not verified: the core holds neither its build ID nor its first page".to_owned(),
            ),
        };
        Ok((build_id, remark))
    }

    fn compare_first_page(&self, core: &Core, image: &Image) -> Option<bool> {
        let first = self.mappings.iter().find(|mapping| mapping.offset == 0)?;
        let constant = core
            .segment_at(first.start)
            .is_some_and(|segment| segment.flags & PF_W == 0);
        let mut page = vec![0; if constant { 4096 } else { 64 }];
        let length = image.bytes().len().min(page.len());
        page.truncate(length);
        core.read(first.start, &mut page)
            .then(|| image.bytes().starts_with(&page))
    }
}

/// Groups mappings by file. A file may be mapped twice (two `dlopen` namespaces, or a program
/// that maps a library to read it): each ELF header in memory that does not fit the load address
/// of the module so far starts another module.
fn by_path(core: &Core, page: u64) -> Vec<Found> {
    let mut modules: Vec<Found> = Vec::new();
    let mut latest: HashMap<&str, usize> = HashMap::new();
    for mapping in &core.notes.files {
        let current = latest.get(mapping.path.as_str()).copied();
        let current =
            current.filter(|&index| modules.get(index).is_some_and(|m| m.fits(mapping, page)));
        let index = current.unwrap_or_else(|| {
            modules.push(Found::new(
                mapping.path.clone(),
                memory_header(core, mapping),
            ));
            latest.insert(&mapping.path, modules.len() - 1);
            modules.len() - 1
        });
        if let Some(module) = modules.get_mut(index) {
            module.mappings.push(mapping.clone());
        }
    }
    modules
}

impl Found {
    fn fits(&self, mapping: &FileMapping, page: u64) -> bool {
        let Some(header) = &self.header else {
            return true;
        };
        if mapping.offset != 0 || self.mappings.is_empty() {
            return true;
        }
        let so_far = bias(header, &self.mappings, page);
        let maps_start = |load: &ProgramHeader| {
            floor(load.offset, page) == 0
                && mapping.start.wrapping_sub(floor(load.address, page)) == so_far
        };
        header.of_kind(elf::PT_LOAD).any(maps_start)
    }
}

fn memory_header(core: &Core, mapping: &FileMapping) -> Option<Elf> {
    if mapping.offset != 0 {
        return None;
    }
    let size = mapping.end - mapping.start;
    let read = |offset: u64, buffer: &mut [u8]| {
        let fits = offset
            .checked_add(buffer.len() as u64)
            .is_some_and(|end| end <= size);
        fits && core.read(mapping.start + offset, buffer)
    };
    Elf::read(&read).ok()
}

/// The build ID in memory: from the core alone, never from a file.
fn memory_build_id(core: &Core, header: &Elf, found: &Found, page: u64) -> Option<String> {
    let bias = bias(header, &found.mappings, page);
    let notes = header
        .of_kind(elf::PT_NOTE)
        .filter(|note| note.file_size <= NOTES_MAX);
    let read = |note: &ProgramHeader| {
        let mut bytes = vec![0; usize::try_from(note.file_size).ok()?];
        core.read(bias.wrapping_add(note.address), &mut bytes)
            .then_some(bytes)
    };
    notes
        .filter_map(read)
        .find_map(|bytes| elf::build_id(&bytes))
}

/// The kernel's own shared object: no file, but always whole in the core.
fn vdso(core: &Core) -> Option<Found> {
    let base = core.notes.auxiliary(AT_SYSINFO_EHDR)?;
    let segment = core.segment_at(base)?;
    let size = segment
        .end
        .checked_sub(base)
        .filter(|size| *size <= VDSO_MAX)?;
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    if !core.read(base, &mut bytes) {
        return None;
    }
    let mapping = FileMapping {
        start: base,
        end: segment.end,
        offset: 0,
        path: "[vdso]".to_owned(),
    };
    let mut found = Found::new(mapping.path.clone(), memory_header(core, &mapping));
    found.header.as_ref()?;
    found.mappings.push(mapping);
    let image = Image::new(Bytes::from(bytes));
    found.build_id = image.object().and_then(|object| object.build_id());
    found.image = Some(image);
    found.origin = "memory";
    Some(found)
}
