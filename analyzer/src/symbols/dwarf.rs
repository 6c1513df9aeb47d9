//! Names addresses by DWARF: function, inlined functions, file and line.

use super::call_sites::{self, Calls};
use super::demangle::demangle;
use super::entry::{Entry, Units};
use super::scope;
use super::split::SplitFiles;
use super::statement;
use crate::image::Object;
use addr2line::{Context, LookupContinuation, LookupResult};
use gimli::{DwLang, Dwarf, EndianSlice, LittleEndian, UnitOffset};
use serde::{Deserialize, Serialize};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// More functions inlined into one another than compilers make.
const INLINES_MAX: usize = 256;

/// Units read for the scopes of a name, in one module.
const SCOPE_READS_MAX: usize = 500;

/// One function at an address.
#[derive(Clone, Debug, Default)]
pub struct Location {
    /// Readable name.
    pub function: Option<String>,
    /// The linker's name, or the source's where there is no other.
    pub linkage_name: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
}

/// A unit whose debug information is elsewhere, and where it was when it was compiled.
#[derive(Clone, Debug)]
pub(super) struct LackingUnit {
    pub(super) id: u64,
    pub(super) directory: Option<String>,
    pub(super) name: Option<String>,
}

/// Where the functions at an address are described.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Functions {
    /// The unit's place in `.debug_info`.
    unit: Option<usize>,
    /// Their entries' places in it, innermost inlined function first.
    entries: Vec<usize>,
}

/// The debug information of one module.
pub struct DebugInfo<'a> {
    dwarf: Arc<Dwarf<Reader<'a>>>,
    /// Which unit has which addresses: of a large program it takes longer to read than all else.
    context: OnceCell<Option<Context<Reader<'a>>>>,
    units: Units<'a>,
    split: SplitFiles<'a>,
    scope_reads: Cell<usize>,
    known: BTreeMap<u64, Functions>,
    asked: RefCell<BTreeSet<u64>>,
}

impl<'a> DebugInfo<'a> {
    /// Reads the units of a file that has any; `shared` is the file that several debug files
    /// share (dwz), `split` are files of units whose information is elsewhere.
    pub fn of(
        object: &Object<'a>,
        shared: Option<&Object<'a>>,
        split: SplitFiles<'a>,
    ) -> Option<Self> {
        if !object.has(".debug_info") {
            return None;
        }
        let mut dwarf = sections(object);
        if let Some(shared) = shared {
            dwarf.set_sup(sections(shared));
        }
        let dwarf = Arc::new(dwarf);
        Some(DebugInfo {
            context: OnceCell::new(),
            units: Units::new(Arc::clone(&dwarf)),
            dwarf,
            split,
            scope_reads: Cell::new(0),
            known: BTreeMap::new(),
            asked: RefCell::default(),
        })
    }

    /// The same, with places of functions that need not be searched.
    pub(super) fn knowing(self, known: BTreeMap<u64, Functions>) -> Self {
        let starts = known.values().filter_map(|functions| functions.unit);
        DebugInfo {
            units: self.units.with_direct(starts),
            known,
            ..self
        }
    }

    /// Addresses whose functions were searched.
    pub(super) fn asked(&self) -> BTreeSet<u64> {
        self.asked.borrow().clone()
    }

    fn context(&self) -> Option<&Context<Reader<'a>>> {
        let read = || Context::from_arc_dwarf(Arc::clone(&self.dwarf)).ok();
        self.context.get_or_init(read).as_ref()
    }

    /// Functions at an address of the file, innermost inlined one first; the last is the one
    /// that was not inlined. Empty when there is no information.
    pub fn find(&self, address: u64) -> Vec<Location> {
        let found = self
            .context()
            .map(|context| self.loaded(context.find_frames(address)));
        let Some(Ok(mut frames)) = found else {
            return Vec::new();
        };
        let mut locations = Vec::new();
        while let (Ok(Some(frame)), true) = (frames.next(), locations.len() < INLINES_MAX) {
            let linkage_name = frame
                .function
                .as_ref()
                .and_then(|name| name.raw_name().ok());
            let function = linkage_name.as_deref().map(|name| {
                let scoped = || {
                    let language = frame.function.as_ref()?.language?;
                    self.scoped_name(address, frame.dw_die_offset?, name, language)
                };
                scoped().unwrap_or_else(|| demangle(name))
            });
            let place = frame.location.as_ref();
            locations.push(Location {
                function,
                linkage_name: linkage_name.map(std::borrow::Cow::into_owned),
                file: place.and_then(|place| place.file).map(str::to_owned),
                line: place.and_then(|place| place.line).filter(|line| *line > 0),
                column: place
                    .and_then(|place| place.column)
                    .filter(|column| *column > 0),
            });
        }
        if let Some((innermost, place)) = locations.first_mut().zip(self.statement(address)) {
            innermost.file = place.file.or(innermost.file.take());
            (innermost.line, innermost.column) = (Some(place.line), place.column);
        }
        locations
    }

    /// Goes on with the files that an answer needs, or without them.
    fn loaded<L: LookupContinuation<Buf = Reader<'a>>>(
        &self,
        mut result: LookupResult<L>,
    ) -> L::Output {
        loop {
            result = match result {
                LookupResult::Output(output) => return output,
                LookupResult::Load { load, continuation } => {
                    continuation.resume(self.split.load(load.dwo_id, &load.parent))
                }
            }
        }
    }

    /// The unit at an address, if its information is in a file that was not asked for yet.
    pub(super) fn lacking(&self, address: u64) -> Option<LackingUnit> {
        let LookupResult::Load { load, .. } = self.context()?.find_dwarf_and_unit(address) else {
            return None;
        };
        let text = |text: Option<Reader<'a>>| Some(text?.to_string().ok()?.to_owned());
        Some(LackingUnit {
            id: load.dwo_id.0,
            directory: text(load.comp_dir),
            name: text(load.path),
        })
    }

    fn statement(&self, address: u64) -> Option<statement::Place> {
        let unit = self.loaded(self.context()?.find_dwarf_and_unit(address))?;
        statement::at(unit, address)
    }

    /// The functions at an address of the file, innermost inlined one first, as [`DebugInfo::find`]
    /// names them.
    pub(super) fn functions_at(&self, address: u64) -> Vec<UnitOffset> {
        if let Some(known) = self.known.get(&address) {
            return known.entries.iter().copied().map(UnitOffset).collect();
        }
        self.asked.borrow_mut().insert(address);
        let found = self
            .context()
            .map(|context| self.loaded(context.find_frames(address)));
        let mut functions = Vec::new();
        if let Some(Ok(mut frames)) = found {
            while let (Ok(Some(frame)), true) = (frames.next(), functions.len() < INLINES_MAX) {
                functions.extend(frame.dw_die_offset);
            }
        }
        functions
    }

    /// The same, to be known later.
    pub(super) fn functions(&self, address: u64) -> Functions {
        let unit = || self.loaded(self.context()?.find_dwarf_and_unit(address));
        let offset = unit().and_then(|unit| unit.header.debug_info_offset());
        Functions {
            unit: offset.map(|offset| offset.0),
            entries: self.functions_at(address).iter().map(|it| it.0).collect(),
        }
    }

    /// The call before `return_address` in the function at `address`.
    pub(super) fn call(&self, address: u64, return_address: u64) -> Option<Entry<'_, 'a>> {
        let function = *self.functions_at(address).last()?;
        call_sites::call(self.entry(address, function)?, return_address)
    }

    /// The calls that the function at an address makes.
    pub(super) fn calls(&self, address: u64) -> Option<Calls> {
        let mut frames = self.loaded(self.context()?.find_frames(address)).ok()?;
        let mut function = None;
        while let Some(frame) = frames.next().ok()? {
            function = frame.dw_die_offset;
        }
        call_sites::calls(self.entry(address, function?)?)
    }

    fn scoped_name(
        &self,
        address: u64,
        entry: UnitOffset,
        name: &str,
        language: DwLang,
    ) -> Option<String> {
        if !needs_scope(name, language) || self.scope_reads.get() >= SCOPE_READS_MAX {
            return None;
        }
        self.scope_reads.set(self.scope_reads.get() + 1);
        scope::qualified_name(self.entry(address, entry)?)
    }

    /// The entry at an offset of the unit that holds an address.
    pub(super) fn entry(&self, address: u64, offset: UnitOffset) -> Option<Entry<'_, 'a>> {
        if let Some(unit) = self.known.get(&address).and_then(|known| known.unit) {
            return self.units.direct(unit, offset);
        }
        let unit = self.loaded(self.context()?.find_dwarf_and_unit(address))?;
        Some(self.units.entry(unit, offset))
    }
}

/// Whether a linker's name says less than the scopes: C++ names that are no linker's names, and
/// the functions that Rust's runtime links by names of a crate that does not exist.
fn needs_scope(name: &str, language: DwLang) -> bool {
    match language {
        gimli::DW_LANG_Rust => {
            !name.starts_with("_ZN") && (!name.starts_with("_R") || name.contains("7___rustc"))
        }
        gimli::DW_LANG_C_plus_plus
        | gimli::DW_LANG_C_plus_plus_03
        | gimli::DW_LANG_C_plus_plus_11
        | gimli::DW_LANG_C_plus_plus_14
        | gimli::DW_LANG_C_plus_plus_17
        | gimli::DW_LANG_C_plus_plus_20 => !name.starts_with("_Z") && name != "main",
        _ => false,
    }
}

fn sections<'a>(object: &Object<'a>) -> Dwarf<Reader<'a>> {
    let load = |id: gimli::SectionId| -> Result<Reader<'a>, gimli::Error> {
        let data = object.section(id.name()).unwrap_or_default().data;
        Ok(EndianSlice::new(data, LittleEndian))
    };
    Dwarf::load(load).unwrap_or_default()
}
