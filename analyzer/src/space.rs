//! The address space of the dead process: memory, and the modules in it.

use crate::dump::Core;
use crate::dump::elf::{PF_R, PF_W, PF_X};
use crate::dump::notes::FileMapping;
use crate::modules::{Found, Module, page_size};
use crate::scene::Mapping;

/// Memory and modules.
pub struct Space<'a> {
    /// The core.
    pub core: &'a Core,
    /// Modules in order of their lowest address.
    pub modules: Vec<Module<'a>>,
    /// Every file mapping, in order of address, with the index of its module.
    ranges: Vec<(&'a FileMapping, usize)>,
    page: u64,
}

impl<'a> Space<'a> {
    /// Joins a core and the files found for it.
    pub fn new(core: &'a Core, found: &'a [Found]) -> Self {
        let page = page_size(core);
        let modules: Vec<_> = found.iter().map(|found| found.module(page)).collect();
        let of = |(index, found): (usize, &'a Found)| {
            found.mappings.iter().map(move |mapping| (mapping, index))
        };
        let mut ranges: Vec<_> = found.iter().enumerate().flat_map(of).collect();
        ranges.sort_by_key(|(mapping, _)| mapping.start);
        Space {
            core,
            modules,
            ranges,
            page,
        }
    }

    /// Fills `buffer` from the core, or from a verified file where the process could not have
    /// changed it. False when any byte is absent.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        self.core.read(address, buffer) || self.read_piecewise(address, buffer)
    }

    /// Page by page, for ranges that are partly in the core and partly in a file.
    fn read_piecewise(&self, mut address: u64, mut buffer: &mut [u8]) -> bool {
        while !buffer.is_empty() {
            let room = usize::try_from(self.page - address % self.page).unwrap_or(usize::MAX);
            let (head, tail) = buffer.split_at_mut(room.min(buffer.len()));
            if !self.core.read(address, head) && !self.read_file(address, head) {
                return false;
            }
            address = address.wrapping_add(head.len() as u64);
            buffer = tail;
        }
        true
    }

    fn read_file(&self, address: u64, buffer: &mut [u8]) -> bool {
        let Some((mapping, index)) = self.range_at(address) else {
            return false;
        };
        let module = &self.modules[index];
        let written = self
            .core
            .segment_at(address)
            .is_some_and(|segment| segment.flags & PF_W != 0);
        if written || !module.is_constant(address, self.page) {
            return false;
        }
        let offset = mapping.offset.checked_add(address - mapping.start);
        let bytes = module
            .found
            .image
            .as_ref()
            .map_or(&[][..], |image| image.bytes());
        let found = offset
            .and_then(|offset| usize::try_from(offset).ok())
            .and_then(|start| bytes.get(start..start.checked_add(buffer.len())?));
        found.map(|found| buffer.copy_from_slice(found)).is_some()
    }

    /// A word of the process's own size.
    pub fn read_word(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, bytes.get_mut(..self.core.arch.word)?)
            .then(|| u64::from_le_bytes(bytes))
    }

    fn range_at(&self, address: u64) -> Option<(&'a FileMapping, usize)> {
        let after = self
            .ranges
            .partition_point(|(mapping, _)| mapping.start <= address);
        let (mapping, index) = *self.ranges.get(after.checked_sub(1)?)?;
        (address < mapping.end).then_some((mapping, index))
    }

    /// Index of the module mapped at an address.
    pub fn module_index(&self, address: u64) -> Option<usize> {
        self.range_at(address).map(|(_, index)| index)
    }

    /// The module mapped at an address.
    pub fn module_at(&self, address: u64) -> Option<&Module<'a>> {
        self.modules.get(self.module_index(address)?)
    }

    /// Whether code could run at an address. `None` when the core does not say.
    pub fn is_executable(&self, address: u64) -> Option<bool> {
        if let Some(segment) = self.core.segment_at(address) {
            return Some(segment.flags & PF_X != 0);
        }
        // gdb's gcore leaves out mappings it could not read; the kernel lists all.
        if self.core.segments.is_empty() || self.module_index(address).is_some() {
            None
        } else {
            Some(false)
        }
    }

    /// Whether code of a module could run: a file may also be mapped only to be read.
    pub fn is_loaded(&self, module: &Module<'_>) -> bool {
        let mappings = &module.found.mappings;
        mappings
            .iter()
            .any(|mapping| self.is_executable(mapping.start) != Some(false))
    }

    /// Whether a return address may point here: code could run, and it follows a call as far as
    /// its bytes are known.
    pub fn follows_call(&self, address: u64) -> bool {
        if self.is_executable(address) == Some(false) || self.module_index(address).is_none() {
            return false;
        }
        let mut code = [0; crate::arch::Arch::CALL_BYTES];
        let start = address.saturating_sub(code.len() as u64);
        self.read(start, &mut code) && (self.core.arch.ends_in_call)(&code)
    }

    /// A mask of the bits that addresses of this process have: those of the architecture's common
    /// kernels, or of its largest where the process had mappings that high.
    pub fn address_bits(&self) -> u64 {
        const COMMON: u64 = (1 << 48) - 1;
        let highest = self.core.segments.last().map_or(0, |segment| segment.end);
        if highest <= COMMON {
            COMMON
        } else {
            self.core.arch.user_space_end - 1
        }
    }

    /// Every mapped range, in order of address.
    pub fn mappings(&self) -> Vec<Mapping> {
        // Data files are mapped too, which are no modules.
        let files = &self.core.notes.files;
        let path = |address| {
            let after = files.partition_point(|mapping| mapping.start <= address);
            let mapping = files.get(after.checked_sub(1)?)?;
            (address < mapping.end).then(|| mapping.path.clone())
        };
        let of_segment = |segment: &crate::dump::Segment| Mapping {
            start: segment.start,
            end: segment.end,
            readable: segment.flags & PF_R != 0,
            writable: segment.flags & PF_W != 0,
            executable: segment.flags & PF_X != 0,
            path: path(segment.start),
        };
        self.core.segments.iter().map(of_segment).collect()
    }
}
