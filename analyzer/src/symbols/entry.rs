//! Walks between entries of debug information: a reference may lead to another unit, or to the
//! file that several debug files share.
//!
//! Link-time optimisation makes one unit out of many, whose functions refer to where they were
//! declared; dwz moves what files have in common into a file of its own.

use gimli::{
    AttributeValue, DebugInfoOffset, DebuggingInformationEntry, DwAt, DwTag, Dwarf, EndianSlice,
    LittleEndian, Unit, UnitHeader, UnitOffset, UnitRef,
};
use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::sync::Arc;

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// More units than the largest programs have.
const UNITS_MAX: usize = 1 << 20;
/// Entries read to find those directly below one.
const DESCENDANTS_MAX: usize = 10_000;
/// References followed from an entry to where it was declared.
pub(super) const REFERENCES_MAX: usize = 16;

/// The units of one file by their place; each is read when it is first needed.
pub(super) struct Units<'a> {
    dwarf: Arc<Dwarf<Reader<'a>>>,
    slots: OnceCell<Vec<Slot<'a>>>,
    direct: Vec<Slot<'a>>,
    shared: OnceCell<Option<Box<Units<'a>>>>,
}

struct Slot<'a> {
    start: usize,
    header: UnitHeader<Reader<'a>>,
    unit: OnceCell<Option<Unit<Reader<'a>>>>,
}

impl<'a> Slot<'a> {
    fn new(start: usize, header: UnitHeader<Reader<'a>>) -> Self {
        Slot {
            start,
            header,
            unit: OnceCell::new(),
        }
    }

    fn unit<'u>(&'u self, dwarf: &'u Dwarf<Reader<'a>>) -> Option<UnitRef<'u, Reader<'a>>> {
        let unit = self.unit.get_or_init(|| dwarf.unit(self.header).ok());
        Some(unit.as_ref()?.unit_ref(dwarf))
    }
}

/// An entry and the unit it is in.
#[derive(Clone, Copy)]
pub(super) struct Entry<'u, 'a> {
    units: &'u Units<'a>,
    pub(super) unit: UnitRef<'u, Reader<'a>>,
    pub(super) offset: UnitOffset,
}

impl<'a> Units<'a> {
    pub(super) fn new(dwarf: Arc<Dwarf<Reader<'a>>>) -> Self {
        Units {
            dwarf,
            slots: OnceCell::new(),
            direct: Vec::new(),
            shared: OnceCell::new(),
        }
    }

    /// The entry at an offset of a unit that somebody else read.
    pub(super) fn entry<'u>(
        &'u self,
        unit: UnitRef<'u, Reader<'a>>,
        offset: UnitOffset,
    ) -> Entry<'u, 'a> {
        Entry {
            units: self,
            unit,
            offset,
        }
    }

    /// Knows where units begin that will be asked for, so that not all need to be listed.
    pub(super) fn with_direct(mut self, starts: impl Iterator<Item = usize>) -> Self {
        let starts: BTreeSet<usize> = starts.collect();
        let slot = |&start: &usize| {
            let header = self
                .dwarf
                .debug_info
                .header_from_offset(DebugInfoOffset(start));
            Some(Slot::new(start, header.ok()?))
        };
        self.direct = starts.iter().filter_map(slot).collect();
        self
    }

    /// The entry at an offset of one of those units.
    pub(super) fn direct(&self, start: usize, offset: UnitOffset) -> Option<Entry<'_, 'a>> {
        let index = self.direct.binary_search_by_key(&start, |slot| slot.start);
        let slot = self.direct.get(index.ok()?)?;
        Some(self.entry(slot.unit(&self.dwarf)?, offset))
    }

    fn at(&self, offset: DebugInfoOffset) -> Option<Entry<'_, 'a>> {
        let slots = self.slots.get_or_init(|| self.headers());
        let after = slots.partition_point(|slot| slot.start <= offset.0);
        let slot = slots.get(after.checked_sub(1)?)?;
        let entry = offset.to_unit_offset(&slot.header)?;
        Some(self.entry(slot.unit(&self.dwarf)?, entry))
    }

    fn headers(&self) -> Vec<Slot<'a>> {
        let mut headers = self.dwarf.units();
        let mut slots = Vec::new();
        while let (Ok(Some(header)), true) = (headers.next(), slots.len() < UNITS_MAX) {
            if let Some(start) = header.debug_info_offset() {
                slots.push(Slot::new(start.0, header));
            }
        }
        slots
    }

    /// The units of the file that this one shares with others.
    fn shared(&self) -> Option<&Units<'a>> {
        let shared = || {
            let dwarf = self.dwarf.sup.clone()?;
            Some(Box::new(Units::new(dwarf)))
        };
        self.shared.get_or_init(shared).as_deref()
    }
}

impl<'u, 'a> Entry<'u, 'a> {
    /// Another entry of the same unit.
    pub(super) fn at(self, offset: UnitOffset) -> Self {
        Entry { offset, ..self }
    }

    /// The entry itself, with its attributes.
    pub(super) fn read(&self) -> Option<DebuggingInformationEntry<Reader<'a>>> {
        self.unit.entry(self.offset).ok()
    }

    /// What kind of entry it is.
    pub(super) fn tag(&self) -> Option<DwTag> {
        Some(self.read()?.tag())
    }

    /// A number that an attribute holds.
    pub(super) fn number(&self, name: DwAt) -> Option<u64> {
        self.read()?.attr_value(name)?.udata_value()
    }

    /// The entries directly below.
    pub(super) fn children(self) -> Vec<Entry<'u, 'a>> {
        let mut children = Vec::new();
        let _ = self.collect_children(&mut children);
        children
    }

    fn collect_children(self, children: &mut Vec<Entry<'u, 'a>>) -> Option<()> {
        let mut entries = self.unit.entries_raw(Some(self.offset)).ok()?;
        let own = entries.next_depth();
        let abbreviation = entries.read_abbreviation().ok()??;
        entries.skip_attributes(abbreviation.attributes()).ok()?;
        for _ in 0..DESCENDANTS_MAX {
            if entries.is_empty() || entries.next_depth() <= own {
                break;
            }
            let (offset, depth) = (entries.next_offset(), entries.next_depth());
            if let Some(abbreviation) = entries.read_abbreviation().ok()? {
                entries.skip_attributes(abbreviation.attributes()).ok()?;
                children.extend((depth == own + 1).then(|| self.at(offset)));
            }
        }
        Some(())
    }

    /// Where an attribute's value leads.
    pub(super) fn to(&self, value: AttributeValue<Reader<'a>>) -> Option<Entry<'u, 'a>> {
        match value {
            AttributeValue::UnitRef(offset) => Some(self.at(offset)),
            // In a file of its own a place is one of that file, whose units are not listed here.
            AttributeValue::DebugInfoRef(_)
                if self.unit.dwarf.file_type == gimli::DwarfFileType::Dwo =>
            {
                None
            }
            AttributeValue::DebugInfoRef(offset) => self.units.at(offset),
            AttributeValue::DebugInfoRefSup(offset) => self.units.shared()?.at(offset),
            _ => None,
        }
    }

    /// Where an attribute of this entry leads.
    pub(super) fn follow(&self, name: DwAt) -> Option<Entry<'u, 'a>> {
        self.to(self.read()?.attr_value(name)?)
    }

    /// The value of an attribute that is text.
    pub(super) fn text(&self, name: DwAt) -> Option<String> {
        let value = self.read()?.attr_value(name)?;
        Some(
            self.unit
                .attr_string(value)
                .ok()?
                .to_string_lossy()
                .into_owned(),
        )
    }

    /// This entry, then the ones it refers to as what it is an instance of, up to where it was
    /// declared.
    pub(super) fn origins(self) -> impl Iterator<Item = Entry<'u, 'a>> {
        let next = |entry: &Entry<'u, 'a>| {
            entry
                .follow(gimli::DW_AT_abstract_origin)
                .or_else(|| entry.follow(gimli::DW_AT_specification))
        };
        std::iter::successors(Some(self), next).take(REFERENCES_MAX)
    }
}
