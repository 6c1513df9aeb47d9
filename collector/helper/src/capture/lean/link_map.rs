//! Keeps the dynamic linker's list of loaded objects, by which debuggers find the libraries:
//! auxiliary vector → program headers → `DT_DEBUG` → `r_debug` → `link_map` (glibc `elf/link.h`;
//! musl's beginnings are the same).

use super::select::Selection;
use crate::capture::live::{Memory, word};
use crate::capture::notes::NoteFacts;

const AT_PHDR: u64 = 3;
const AT_PHNUM: u64 = 5;
const PT_DYNAMIC: u64 = 2;
const PT_PHDR: u64 = 6;
const DT_DEBUG: u64 = 21;
/// Most program headers, dynamic entries and objects looked at.
const MAX_HEADERS: u64 = 256;
const MAX_ENTRIES: u64 = 512;
const MAX_OBJECTS: usize = 4096;

/// Keeps the list, as far as it can be followed.
pub(super) fn keep<M: Memory>(selection: &mut Selection<'_, M>, facts: &NoteFacts) {
    // Without one it is a static program, or the vector was lost.
    let _ = follow(selection, facts);
}

fn follow<M: Memory>(selection: &mut Selection<'_, M>, facts: &NoteFacts) -> Option<()> {
    let size = selection.word_size;
    let width = u64::try_from(size).ok()?;
    let (dynamic, length) = dynamic_section(selection, facts)?;
    selection.keep(dynamic, dynamic.saturating_add(length));
    let entry = width.checked_mul(2)?;
    let tags = (0..(length / entry).min(MAX_ENTRIES)).map(|index| index.saturating_mul(entry));
    let debug = tags
        .filter_map(|offset| dynamic.checked_add(offset))
        .find(|at| selection.memory.word(*at, size) == Some(DT_DEBUG))?;
    let debug = selection.memory.word(debug.checked_add(width)?, size)?;
    // r_version, r_map, r_brk, r_state, r_ldbase, and since glibc 2.35 r_next.
    selection.keep(debug, debug.saturating_add(width.saturating_mul(6)));
    let mut object = selection.memory.word(debug.checked_add(width)?, size)?;
    for _ in 0..MAX_OBJECTS {
        if object == 0 {
            break;
        }
        // l_addr, l_name, l_ld, l_next, l_prev.
        selection.keep(object, object.saturating_add(width.saturating_mul(5)));
        let field = |index: u64| object.checked_add(width.checked_mul(index)?);
        if let Some(name) = selection.memory.word(field(1)?, size) {
            selection.keep_string(name);
        }
        object = selection.memory.word(field(3)?, size)?;
    }
    Some(())
}

/// Address and size of the program's dynamic section.
fn dynamic_section<M: Memory>(
    selection: &Selection<'_, M>,
    facts: &NoteFacts,
) -> Option<(u64, u64)> {
    let table = facts.auxiliary(AT_PHDR)?;
    let count = facts.auxiliary(AT_PHNUM)?.min(MAX_HEADERS);
    let wide = selection.word_size == 8;
    let size: u64 = if wide { 56 } else { 32 };
    let mut bias = 0;
    let mut dynamic = None;
    for index in 0..count {
        let at = table.checked_add(index.checked_mul(size)?)?;
        let mut header = [0; 56];
        let header = header.get_mut(..usize::try_from(size).ok()?)?;
        if selection.memory.read(at, header) < header.len() {
            return None;
        }
        let kind = word(header.get(..4)?);
        let (address, length) = if wide {
            (word(header.get(16..24)?), word(header.get(40..48)?))
        } else {
            (word(header.get(8..12)?), word(header.get(20..24)?))
        };
        match kind {
            PT_PHDR => bias = table.wrapping_sub(address),
            PT_DYNAMIC => dynamic = Some((address, length)),
            _ => {}
        }
    }
    let (address, length) = dynamic?;
    Some((address.wrapping_add(bias), length.min(64 << 10)))
}
