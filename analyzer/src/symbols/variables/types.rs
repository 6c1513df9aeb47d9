//! Reads types: what they are without their qualifiers, how large, what they are called.

use super::super::entry::Entry;
use gimli::DwTag;

/// Qualifiers and aliases around one type.
const ALIASES_MAX: usize = 32;
/// Longest name put together, bytes.
const NAME_MAX: usize = 200;
/// Types read for the size of one: arrays of arrays.
const NESTING_MAX: usize = 16;

/// The type behind aliases and qualifiers, and its tag. `None` for `void`.
pub(super) fn plain<'u, 'a>(kind: Entry<'u, 'a>) -> Option<(Entry<'u, 'a>, DwTag)> {
    let mut kind = kind;
    for _ in 0..ALIASES_MAX {
        let tag = kind.tag()?;
        if !is_alias(tag) {
            return Some((kind, tag));
        }
        kind = kind.follow(gimli::DW_AT_type)?;
    }
    None
}

fn is_alias(tag: DwTag) -> bool {
    tag == gimli::DW_TAG_typedef || qualifier(tag).is_some()
}

fn qualifier(tag: DwTag) -> Option<&'static str> {
    match tag {
        gimli::DW_TAG_const_type => Some("const "),
        gimli::DW_TAG_volatile_type => Some("volatile "),
        gimli::DW_TAG_restrict_type => Some("restrict "),
        gimli::DW_TAG_atomic_type => Some("atomic "),
        _ => None,
    }
}

/// Whether values of a type are addresses.
pub(super) fn is_pointer(tag: DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_pointer_type
            | gimli::DW_TAG_reference_type
            | gimli::DW_TAG_rvalue_reference_type
    )
}

/// Whether values of a type have members.
pub(super) fn is_structure(tag: DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_structure_type | gimli::DW_TAG_class_type | gimli::DW_TAG_union_type
    )
}

/// The size of a type's values in bytes.
pub(super) fn size(kind: Entry<'_, '_>) -> Option<u64> {
    size_within(kind, NESTING_MAX)
}

fn size_within(kind: Entry<'_, '_>, depth: usize) -> Option<u64> {
    let (kind, tag) = plain(kind)?;
    if let Some(size) = kind.number(gimli::DW_AT_byte_size) {
        return Some(size);
    }
    if is_pointer(tag) {
        return Some(kind.unit.encoding().address_size.into());
    }
    if tag != gimli::DW_TAG_array_type || depth == 0 {
        return None;
    }
    let element = size_within(kind.follow(gimli::DW_AT_type)?, depth - 1)?;
    let mut counts = dimensions(kind).into_iter();
    counts.try_fold(element, |size, count| size.checked_mul(count?))
}

/// How many elements an array has in each of its dimensions, as far as its type says so.
pub(super) fn dimensions(array: Entry<'_, '_>) -> Vec<Option<u64>> {
    let children = array.children().into_iter();
    let ranges = children.filter(|child| child.tag() == Some(gimli::DW_TAG_subrange_type));
    let count = |range: Entry<'_, '_>| {
        let bound = || range.number(gimli::DW_AT_upper_bound)?.checked_add(1);
        range.number(gimli::DW_AT_count).or_else(bound)
    };
    ranges.map(count).collect()
}

/// A type as its source would write it, roughly: `const char*`, `int[4]`.
pub(super) fn name(kind: Entry<'_, '_>) -> String {
    let mut name = String::new();
    write_name(&mut name, Some(kind), NESTING_MAX);
    name
}

fn write_name(name: &mut String, kind: Option<Entry<'_, '_>>, depth: usize) {
    let Some((kind, tag)) = kind.and_then(|kind| Some((kind, kind.tag()?))) else {
        name.push_str("void");
        return;
    };
    if depth == 0 || name.len() > NAME_MAX {
        name.push('…');
        return;
    }
    if let Some(own) = kind.text(gimli::DW_AT_name) {
        name.extend(own.chars().take(NAME_MAX));
        return;
    }
    if let Some(qualifier) = qualifier(tag) {
        name.push_str(qualifier);
    }
    if tag == gimli::DW_TAG_subroutine_type {
        name.push_str("function");
        return;
    }
    if is_structure(tag) || tag == gimli::DW_TAG_enumeration_type {
        name.push_str("(anonymous)");
        return;
    }
    write_name(name, kind.follow(gimli::DW_AT_type), depth - 1);
    match tag {
        gimli::DW_TAG_pointer_type => name.push('*'),
        gimli::DW_TAG_reference_type => name.push('&'),
        gimli::DW_TAG_rvalue_reference_type => name.push_str("&&"),
        gimli::DW_TAG_array_type => {
            for count in dimensions(kind) {
                let count = count.map_or_else(String::new, |count| count.to_string());
                name.extend(["[", &count, "]"]);
            }
        }
        _ => {}
    }
}
