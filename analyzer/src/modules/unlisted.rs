//! Finds modules that the core's list of mapped files lacks: cores of kernels before 3.7, of
//! emulators, and of programs that took their own list away.
//!
//! The program is known by the auxiliary vector, libraries by the dynamic linker's list. Their
//! mappings follow from the file's program headers: those in memory if the core has them, else
//! those of the file with that path.

use super::{AT_ENTRY, AT_PHDR, Found, ModuleSource, ceiling, floor, link_map, memory_build_id};
use crate::dump::Core;
use crate::dump::elf::{self, Elf};
use crate::dump::notes::FileMapping;

const AT_EXECFN: u64 = 31;

/// The modules that are not among those known.
pub(super) fn discover(
    core: &Core,
    source: &mut dyn ModuleSource,
    known: &[Found],
    page: u64,
) -> Vec<Found> {
    let mut found = Vec::new();
    if !known.iter().any(|module| module.is_executable) {
        found.extend(program(core, source, page));
    }
    let Some(program) = known
        .iter()
        .chain(&found)
        .find(|module| module.is_executable)
    else {
        return found;
    };
    let Some(header) = program.any_header() else {
        return found;
    };
    let interpreter = program.interpreter(&header);
    let bias = super::bias(&header, &program.mappings, page);
    for loaded in link_map::read(core, &header.program_headers, bias) {
        let is_known = |module: &Found| module.contains(loaded.dynamic);
        if known.iter().chain(&found).any(is_known) {
            continue;
        }
        // The dynamic linker is in the list by the name that the program has for it.
        let path = loaded.path.or_else(|| interpreter.clone());
        let Some(path) = path else {
            continue;
        };
        let library = Found::new(path, header_at(core, loaded.bias));
        found.extend(library.settled(core, source, page, |_| Some(loaded.bias)));
    }
    found
}

fn program(core: &Core, source: &mut dyn ModuleSource, page: u64) -> Option<Found> {
    let entry = core.notes.auxiliary(AT_ENTRY)?;
    let path = core
        .notes
        .auxiliary(AT_EXECFN)
        .and_then(|address| link_map::text(core, address))
        .or_else(|| Some(core.notes.psinfo.as_ref()?.name.clone()))?;
    let headers = core.notes.auxiliary(AT_PHDR)?;
    let in_memory = header_at(core, floor(headers, page));
    let mut program = Found::new(path, in_memory);
    program.is_executable = true;
    program.settled(core, source, page, |header| {
        Some(entry.wrapping_sub(header.entry))
    })
}

/// An ELF header in memory.
fn header_at(core: &Core, address: u64) -> Option<Elf> {
    let read = |offset: u64, buffer: &mut [u8]| {
        address
            .checked_add(offset)
            .is_some_and(|at| core.read(at, buffer))
    };
    Elf::read(&read).ok()
}

impl Found {
    /// The header in memory, or else the file's.
    fn any_header(&self) -> Option<Elf> {
        self.header
            .clone()
            .or_else(|| self.image.as_ref()?.header())
    }

    /// The dynamic linker that the program's file asks for.
    fn interpreter(&self, header: &Elf) -> Option<String> {
        let place = header.of_kind(elf::PT_INTERP).next()?;
        let start = usize::try_from(place.offset).ok()?;
        let size = usize::try_from(place.file_size).ok()?;
        let bytes = self.image.as_ref()?.bytes();
        let name = bytes.get(start..start.checked_add(size)?)?;
        let name = name.split(|&byte| byte == 0).next()?;
        String::from_utf8(name.to_vec()).ok()
    }

    /// With its mappings and its file. `None` when neither memory nor a file says where its
    /// segments are.
    fn settled(
        mut self,
        core: &Core,
        source: &mut dyn ModuleSource,
        page: u64,
        bias: impl Fn(&Elf) -> Option<u64>,
    ) -> Option<Self> {
        if let Some(header) = self.header.clone() {
            self.place(&header, bias(&header)?, page);
            self.build_id = memory_build_id(core, &header, &self, page);
        }
        self.load(core, source);
        if self.mappings.is_empty() {
            let header = self.any_header()?;
            self.place(&header, bias(&header)?, page);
        }
        (!self.mappings.is_empty()).then_some(self)
    }

    fn place(&mut self, header: &Elf, bias: u64, page: u64) {
        for load in header.of_kind(elf::PT_LOAD) {
            let start = floor(bias.wrapping_add(load.address), page);
            let end = bias
                .wrapping_add(load.address)
                .checked_add(load.file_size)
                .map(|end| ceiling(end, page));
            if let Some(end) = end.filter(|end| start < *end) {
                self.mappings.push(FileMapping {
                    start,
                    end,
                    offset: floor(load.offset, page),
                    path: self.path.clone(),
                });
            }
        }
        self.mappings.sort_by_key(|mapping| mapping.start);
    }
}
