//! Split DWARF: units of a program whose debug information lies in files of their own (`.dwo`), or
//! in a package of such files (`.dwp`), so that the linker need not read it.
//!
//! A number in both is all that says which belongs to which; a file is used for a unit only if it
//! has that number.

use crate::image::{Image, Object};
use gimli::{Dwarf, DwarfPackage, DwoId, EndianSlice, LittleEndian, SectionId, UnitType};
use std::collections::BTreeSet;
use std::sync::Arc;

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// More units than the largest programs have.
const UNITS_MAX: usize = 1 << 20;
/// Units of a format without a mark of its own whose attributes are read to tell.
const OLD_UNITS_MAX: usize = 64;

/// What identifies the file of a unit whose debug information is elsewhere.
pub fn key(id: u64) -> String {
    format!("dwo-{id:016x}")
}

/// Whether a file is a package.
pub fn is_package(object: &Object<'_>) -> bool {
    object.has(".debug_cu_index")
}

/// The numbers of the units whose debug information a file has, in order.
pub fn unit_ids(object: &Object<'_>) -> Vec<u64> {
    let ids: BTreeSet<u64> = match object.section(".debug_cu_index") {
        Some(index) => indexed(index.data).unwrap_or_default(),
        None => own(object).into_iter().collect(),
    };
    ids.into_iter().collect()
}

/// The numbers in a package's index: a hash table, whose empty places have no row.
fn indexed(index: &[u8]) -> Option<BTreeSet<u64>> {
    const HEADER: usize = 16;
    let word = |at: usize| Some(u32::from_le_bytes(*index.get(at..)?.first_chunk()?));
    let slots = usize::try_from(word(12)?).ok()?.min(UNITS_MAX);
    let rows = slots.checked_mul(8)?.checked_add(HEADER)?;
    let ids = index.get(HEADER..rows)?.as_chunks::<8>().0;
    let used = |slot: &usize| word(rows + slot * 4).is_some_and(|row| row != 0);
    let used = (0..slots).filter(used);
    used.map(|slot| Some(u64::from_le_bytes(*ids.get(slot)?)))
        .collect()
}

fn own(object: &Object<'_>) -> Option<u64> {
    let dwarf = sections(object);
    let header = dwarf.units().next().ok()??;
    Some(dwarf.unit(header).ok()?.dwo_id?.0)
}

/// Whether debug information of units of this file lies elsewhere.
pub(super) fn has_skeletons(object: &Object<'_>) -> bool {
    let load = |id: SectionId| -> Result<_, gimli::Error> { Ok(section(object, id.name())) };
    let Ok(dwarf) = Dwarf::load(load) else {
        return false;
    };
    let mut headers = dwarf.units();
    let mut old = 0;
    for _ in 0..UNITS_MAX {
        let Ok(Some(header)) = headers.next() else {
            return false;
        };
        match header.type_() {
            UnitType::Skeleton(_) => return true,
            UnitType::Compilation if header.version() < 5 && old < OLD_UNITS_MAX => {
                old += 1;
                if dwarf.unit(header).is_ok_and(|unit| unit.dwo_id.is_some()) {
                    return true;
                }
            }
            _ => {}
        }
    }
    false
}

/// The files at hand of one module.
pub struct SplitFiles<'a>(Vec<(Object<'a>, BTreeSet<u64>)>);

impl<'a> SplitFiles<'a> {
    /// Files of which something was verified already, or that have nothing.
    pub fn new(images: &'a [Image]) -> Self {
        let objects = images.iter().filter_map(Image::object);
        let numbered = objects.map(|object| {
            let ids = unit_ids(&object).into_iter().collect();
            (object, ids)
        });
        Self(numbered.collect())
    }

    /// The debug information of a unit; `parent` is the file that its skeleton is in.
    pub(super) fn load(
        &self,
        id: DwoId,
        parent: &Dwarf<Reader<'a>>,
    ) -> Option<Arc<Dwarf<Reader<'a>>>> {
        let (object, _) = self.0.iter().find(|(_, ids)| ids.contains(&id.0))?;
        if !is_package(object) {
            let mut dwarf = sections(object);
            dwarf.make_dwo(parent);
            return Some(Arc::new(dwarf));
        }
        let load = |id: SectionId| -> Result<_, gimli::Error> { Ok(dwo_section(object, id)) };
        let package = DwarfPackage::load(load, EndianSlice::new(&[], LittleEndian)).ok()?;
        Some(Arc::new(package.find_cu(id, parent).ok()??))
    }
}

/// The sections of a file that is no package.
fn sections<'a>(object: &Object<'a>) -> Dwarf<Reader<'a>> {
    let load = |id: SectionId| -> Result<_, gimli::Error> { Ok(dwo_section(object, id)) };
    let mut dwarf = Dwarf::load(load).unwrap_or_default();
    dwarf.file_type = gimli::DwarfFileType::Dwo;
    dwarf
}

fn dwo_section<'a>(object: &Object<'a>, id: SectionId) -> Reader<'a> {
    let name = id.dwo_name();
    name.map_or(EndianSlice::new(&[], LittleEndian), |name| {
        section(object, name)
    })
}

fn section<'a>(object: &Object<'a>, name: &str) -> Reader<'a> {
    EndianSlice::new(object.section(name).unwrap_or_default().data, LittleEndian)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read_as_far_as_it_goes() {
        let mut index = vec![];
        for word in [5_u32, 2, 1, 4] {
            index.extend(word.to_le_bytes());
        }
        for id in [0, 0xabcd_u64, 7, 0] {
            index.extend(id.to_le_bytes());
        }
        for row in [0, 1_u32, 0, 0] {
            index.extend(row.to_le_bytes());
        }
        assert_eq!(indexed(&index), Some([0xabcd].into()));
        for length in 0..index.len() {
            // Cut short there are fewer, or none; never a wrong one.
            let found = indexed(&index[..length]).unwrap_or_default();
            assert!(found.is_subset(&[0xabcd].into()), "{length}");
        }
        index[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(indexed(&index), None);
    }

    #[test]
    fn numbers_become_keys() {
        assert_eq!(key(0x1a), "dwo-000000000000001a");
    }
}
