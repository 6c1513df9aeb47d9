//! Finds the variables in scope at an address of a function.

use super::super::entry::Entry;

/// Entries read of one function.
const ENTRIES_MAX: usize = 100_000;

/// A variable that is in scope.
pub(super) struct Declared<'u, 'a> {
    pub(super) entry: Entry<'u, 'a>,
    pub(super) is_argument: bool,
    /// Whether it is described here, rather than only in the function that was inlined.
    pub(super) is_concrete: bool,
}

/// Arguments, then variables from the outermost block to the innermost.
pub(super) fn declared<'u, 'a>(function: Entry<'u, 'a>, address: u64) -> Vec<Declared<'u, 'a>> {
    let mut found = in_scope(function, address).unwrap_or_default();
    let described: Vec<_> = found
        .iter()
        .filter_map(|declared| declared.entry.follow(gimli::DW_AT_abstract_origin))
        .map(|origin| origin.offset)
        .collect();
    // Compilers leave out what inlining left nothing of; its arguments still have names.
    let inlined = function.follow(gimli::DW_AT_abstract_origin);
    let left_out = inlined.into_iter().flat_map(Entry::children);
    let left_out = left_out.filter(|entry| {
        entry.tag() == Some(gimli::DW_TAG_formal_parameter) && !described.contains(&entry.offset)
    });
    found.extend(left_out.map(|entry| Declared {
        entry,
        is_argument: true,
        is_concrete: false,
    }));
    // Arguments in the source's order, which inlining changes.
    found.sort_by_key(|declared| {
        let declaration = declared.entry.origins().last();
        let order = declaration.filter(|_| declared.is_argument);
        (!declared.is_argument, order.map(|entry| entry.offset))
    });
    found
}

fn in_scope<'u, 'a>(function: Entry<'u, 'a>, address: u64) -> Option<Vec<Declared<'u, 'a>>> {
    let mut found = Vec::new();
    let mut entries = function.unit.entries_raw(Some(function.offset)).ok()?;
    let outermost = entries.next_depth();
    let abbreviation = entries.read_abbreviation().ok()??;
    entries.skip_attributes(abbreviation.attributes()).ok()?;
    // Everything deeper than this is out of scope.
    let mut open = outermost + 1;
    for _ in 0..ENTRIES_MAX {
        if entries.is_empty() || entries.next_depth() <= outermost {
            break;
        }
        let (offset, depth) = (entries.next_offset(), entries.next_depth());
        let Some(abbreviation) = entries.read_abbreviation().ok()? else {
            continue;
        };
        entries.skip_attributes(abbreviation.attributes()).ok()?;
        if depth > open {
            continue;
        }
        open = depth;
        let entry = function.at(offset);
        match abbreviation.tag() {
            gimli::DW_TAG_lexical_block if contains(entry, address) => open = depth + 1,
            tag @ (gimli::DW_TAG_formal_parameter | gimli::DW_TAG_variable) => {
                let declaration = entry
                    .read()
                    .is_some_and(|read| read.has_attr(gimli::DW_AT_declaration));
                if !declaration {
                    found.push(Declared {
                        entry,
                        is_argument: tag == gimli::DW_TAG_formal_parameter,
                        is_concrete: true,
                    });
                }
            }
            _ => {}
        }
    }
    Some(found)
}

fn contains(block: Entry<'_, '_>, address: u64) -> bool {
    let ranges = block
        .read()
        .and_then(|read| block.unit.die_ranges(&read).ok());
    let Some(mut ranges) = ranges else {
        return false;
    };
    while let Ok(Some(range)) = ranges.next() {
        if (range.begin..range.end).contains(&address) {
            return true;
        }
    }
    false
}
