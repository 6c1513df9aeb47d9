//! Names functions by the scopes around them: `shop::(anonymous namespace)::total`.
//!
//! Compilers give a linker's name only to functions that others may link to. For the rest,
//! DWARF has the bare name, and the scopes are the entries that hold it.

use gimli::{AttributeValue, DwAt, EndianSlice, LittleEndian, UnitOffset, UnitRef};

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// References followed from a function to its declaration.
const REFERENCES_MAX: usize = 16;

/// The name of the function at `offset`, with its namespaces and classes. `None` when the entry
/// is not in this unit or has no name.
pub(super) fn qualified_name(unit: UnitRef<'_, Reader<'_>>, offset: UnitOffset) -> Option<String> {
    let declaration = declaration(unit, offset)?;
    let name = string(unit, declaration, gimli::DW_AT_name)?;
    let mut parts = scopes(unit, declaration)?;
    parts.push(name);
    Some(parts.join("::"))
}

/// Follows an inlined or out-of-line function to where it was declared.
fn declaration(unit: UnitRef<'_, Reader<'_>>, mut offset: UnitOffset) -> Option<UnitOffset> {
    for _ in 0..REFERENCES_MAX {
        let entry = unit.entry(offset).ok()?;
        let reference = |name: DwAt| entry.attr_value(name);
        let next = reference(gimli::DW_AT_abstract_origin)
            .or_else(|| reference(gimli::DW_AT_specification));
        match next {
            Some(AttributeValue::UnitRef(next)) => offset = next,
            Some(_) => return None,
            None => return Some(offset),
        }
    }
    None
}

fn string(unit: UnitRef<'_, Reader<'_>>, offset: UnitOffset, name: DwAt) -> Option<String> {
    let value = unit.entry(offset).ok()?.attr_value(name)?;
    Some(unit.attr_string(value).ok()?.to_string_lossy().into_owned())
}

/// Names of the namespaces and types around an entry, outermost first. What is local to a
/// function has none, as in gdb.
fn scopes(unit: UnitRef<'_, Reader<'_>>, target: UnitOffset) -> Option<Vec<String>> {
    let mut parents = parents(unit, target)?;
    let tags = |tag| {
        matches!(
            tag,
            gimli::DW_TAG_subprogram | gimli::DW_TAG_inlined_subroutine
        )
    };
    if parents.iter().any(|(_, tag)| tags(*tag)) {
        return Some(Vec::new());
    }
    parents.retain(|(_, tag)| *tag != gimli::DW_TAG_compile_unit);
    let name = |(offset, tag): (UnitOffset, gimli::DwTag)| {
        let anonymous =
            (tag == gimli::DW_TAG_namespace).then(|| "(anonymous namespace)".to_owned());
        string(unit, offset, gimli::DW_AT_name).or(anonymous)
    };
    Some(parents.into_iter().filter_map(name).collect())
}

/// Entries around an entry, outermost first: DWARF has no way up, so the unit is read.
fn parents(
    unit: UnitRef<'_, Reader<'_>>,
    target: UnitOffset,
) -> Option<Vec<(UnitOffset, gimli::DwTag)>> {
    let mut open: Vec<(UnitOffset, gimli::DwTag)> = Vec::new();
    let mut entries = unit.entries_raw(None).ok()?;
    while !entries.is_empty() {
        let (offset, depth) = (entries.next_offset(), entries.next_depth());
        if offset == target {
            open.truncate(usize::try_from(depth).ok()?);
            return Some(open);
        }
        let Some(abbreviation) = entries.read_abbreviation().ok()? else {
            continue;
        };
        entries.skip_attributes(abbreviation.attributes()).ok()?;
        open.truncate(usize::try_from(depth).ok()?);
        open.push((offset, abbreviation.tag()));
    }
    None
}
