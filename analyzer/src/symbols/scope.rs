//! Names functions by the scopes around them: `shop::(anonymous namespace)::total`.
//!
//! Compilers give a linker's name only to functions that others may link to. For the rest,
//! DWARF has the bare name, and the scopes are the entries that hold it.

use super::entry::Entry;
use gimli::UnitOffset;

/// The name of a function with its namespaces and classes. `None` when it has no name.
pub(super) fn qualified_name(function: Entry<'_, '_>) -> Option<String> {
    let declaration = function.origins().last()?;
    let name = declaration.text(gimli::DW_AT_name)?;
    let mut parts = scopes(declaration)?;
    parts.push(name);
    Some(parts.join("::"))
}

/// Names of the namespaces and types around an entry, outermost first. What is local to a
/// function has none, as in gdb.
fn scopes(target: Entry<'_, '_>) -> Option<Vec<String>> {
    let mut parents = parents(target)?;
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
        let named = target.at(offset).text(gimli::DW_AT_name);
        named.or(anonymous)
    };
    Some(parents.into_iter().filter_map(name).collect())
}

/// Entries around an entry, outermost first: DWARF has no way up, so the unit is read.
fn parents(target: Entry<'_, '_>) -> Option<Vec<(UnitOffset, gimli::DwTag)>> {
    let mut open: Vec<(UnitOffset, gimli::DwTag)> = Vec::new();
    let mut entries = target.unit.entries_raw(None).ok()?;
    while !entries.is_empty() {
        let (offset, depth) = (entries.next_offset(), entries.next_depth());
        if offset == target.offset {
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
