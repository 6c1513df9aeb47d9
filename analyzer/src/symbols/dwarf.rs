//! Names addresses by DWARF: function, inlined functions, file and line.

use crate::image::Object;
use addr2line::{Context, LookupResult};
use gimli::{Dwarf, EndianSlice, LittleEndian};

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// More functions inlined into one another than compilers make.
const INLINES_MAX: usize = 256;

/// One function at an address.
#[derive(Clone, Debug, Default)]
pub struct Location {
    /// The linker's name, or the source's where there is no other.
    pub function: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
}

/// The debug information of one module.
pub struct DebugInfo<'a> {
    context: Context<Reader<'a>>,
}

impl<'a> DebugInfo<'a> {
    /// Reads the units of a file that has any; `shared` is the file that several debug files
    /// share (dwz).
    pub fn of(object: &Object<'a>, shared: Option<&Object<'a>>) -> Option<Self> {
        if !object.has(".debug_info") {
            return None;
        }
        let mut dwarf = sections(object);
        if let Some(shared) = shared {
            dwarf.set_sup(sections(shared));
        }
        Some(DebugInfo {
            context: Context::from_dwarf(dwarf).ok()?,
        })
    }

    /// Functions at an address of the file, innermost inlined one first; the last is the one
    /// that was not inlined. Empty when there is no information.
    pub fn find(&self, address: u64) -> Vec<Location> {
        let found = match self.context.find_frames(address) {
            LookupResult::Output(found) => found,
            load @ LookupResult::Load { .. } => load.skip_all_loads(),
        };
        let Ok(mut frames) = found else {
            return Vec::new();
        };
        let mut locations = Vec::new();
        while let (Ok(Some(frame)), true) = (frames.next(), locations.len() < INLINES_MAX) {
            let function = frame
                .function
                .as_ref()
                .and_then(|name| name.raw_name().ok());
            let place = frame.location.as_ref();
            locations.push(Location {
                function: function.map(std::borrow::Cow::into_owned),
                file: place.and_then(|place| place.file).map(str::to_owned),
                line: place.and_then(|place| place.line).filter(|line| *line > 0),
                column: place
                    .and_then(|place| place.column)
                    .filter(|column| *column > 0),
            });
        }
        locations
    }
}

fn sections<'a>(object: &Object<'a>) -> Dwarf<Reader<'a>> {
    let load = |id: gimli::SectionId| -> Result<Reader<'a>, gimli::Error> {
        let data = object.section(id.name()).unwrap_or_default().data;
        Ok(EndianSlice::new(data, LittleEndian))
    };
    Dwarf::load(load).unwrap_or_default()
}
