//! Reads the calls that a function makes, for frames that tail calls left out.

use gimli::{AttributeValue, EndianSlice, LittleEndian, UnitOffset, UnitRef};

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// Calls read of one function.
const CALLS_MAX: usize = 4096;
/// References followed to a function's declaration.
const REFERENCES_MAX: usize = 16;

/// A function with its calls, in the file's own addresses.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// Where the function begins.
    pub entry: u64,
    /// Its calls.
    pub sites: Vec<CallSite>,
}

/// One call (`DW_TAG_call_site`).
#[derive(Clone, Debug)]
pub struct CallSite {
    /// The address after the call instruction.
    pub after: u64,
    /// Whether it is a jump that leaves no frame.
    pub is_tail: bool,
    /// What is called.
    pub target: Target,
}

/// What a call calls.
#[derive(Clone, Debug)]
pub enum Target {
    /// A function of this file, by its first address.
    Address(u64),
    /// A function known by its linker's name.
    Name(String),
}

/// The calls of the function whose entry is at `function`.
pub(super) fn calls(unit: UnitRef<'_, Reader<'_>>, function: UnitOffset) -> Option<Calls> {
    let mut entries = unit.entries_raw(Some(function)).ok()?;
    let depth = entries.next_depth();
    let abbreviation = entries.read_abbreviation().ok()??;
    entries.skip_attributes(abbreviation.attributes()).ok()?;
    let mut sites = Vec::new();
    while !entries.is_empty() && entries.next_depth() > depth && sites.len() < CALLS_MAX {
        let offset = entries.next_offset();
        let Some(abbreviation) = entries.read_abbreviation().ok()? else {
            continue;
        };
        entries.skip_attributes(abbreviation.attributes()).ok()?;
        if matches!(
            abbreviation.tag(),
            gimli::DW_TAG_call_site | gimli::DW_TAG_GNU_call_site
        ) {
            sites.extend(site(unit, offset));
        }
    }
    Some(Calls {
        entry: entry_address(unit, function)?,
        sites,
    })
}

fn site(unit: UnitRef<'_, Reader<'_>>, offset: UnitOffset) -> Option<CallSite> {
    let entry = unit.entry(offset).ok()?;
    let value = |new, old| entry.attr_value(new).or_else(|| entry.attr_value(old));
    let after = value(gimli::DW_AT_call_return_pc, gimli::DW_AT_low_pc)?;
    let tail = value(gimli::DW_AT_call_tail_call, gimli::DW_AT_GNU_tail_call);
    let origin = value(gimli::DW_AT_call_origin, gimli::DW_AT_abstract_origin)?;
    Some(CallSite {
        after: unit.attr_address(after).ok()??,
        is_tail: matches!(tail, Some(AttributeValue::Flag(true))),
        target: target(unit, origin)?,
    })
}

/// The callee: defined in this unit, or known by name.
fn target(unit: UnitRef<'_, Reader<'_>>, origin: AttributeValue<Reader<'_>>) -> Option<Target> {
    let mut origin = origin;
    let mut name = None;
    for _ in 0..REFERENCES_MAX {
        let AttributeValue::UnitRef(offset) = origin else {
            break;
        };
        if let Some(address) = entry_address(unit, offset) {
            return Some(Target::Address(address));
        }
        let entry = unit.entry(offset).ok()?;
        let linkage = entry.attr_value(gimli::DW_AT_linkage_name);
        let found = linkage.or_else(|| entry.attr_value(gimli::DW_AT_name));
        name = name.or_else(|| {
            Some(
                unit.attr_string(found?)
                    .ok()?
                    .to_string_lossy()
                    .into_owned(),
            )
        });
        let specification = entry.attr_value(gimli::DW_AT_specification);
        let Some(next) = specification.or_else(|| entry.attr_value(gimli::DW_AT_abstract_origin))
        else {
            break;
        };
        origin = next;
    }
    name.map(Target::Name)
}

/// The first address of a function: where its first range starts.
fn entry_address(unit: UnitRef<'_, Reader<'_>>, offset: UnitOffset) -> Option<u64> {
    let entry = unit.entry(offset).ok()?;
    if let Some(low) = entry.attr_value(gimli::DW_AT_low_pc) {
        return unit.attr_address(low).ok()?;
    }
    let mut ranges = unit.die_ranges(&entry).ok()?;
    Some(ranges.next().ok()??.begin)
}
