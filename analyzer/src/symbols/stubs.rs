//! Names the stubs through which a file calls other files: `read@plt`, as gdb and objdump do.
//!
//! No symbol table lists them. Each stub jumps through a slot of the global offset table, and the
//! relocation of that slot names the function (System V ABI for `x86_64`, 5.2).

use super::symtab::Symbol;
use crate::image::Object;
use object::{Object as _, ObjectSymbol as _, ObjectSymbolTable as _, RelocationTarget};
use std::collections::HashMap;

/// `jmp *displacement(%rip)`.
const JUMP: [u8; 2] = [0xff, 0x25];
const JUMP_SIZE: usize = 6;
/// Sections of stubs, and how far apart the stubs are.
const SECTIONS: [(&str, u64); 3] = [(".plt", 16), (".plt.sec", 16), (".plt.got", 8)];

/// The stubs of a file for `x86_64`.
pub(super) fn of<'a>(object: &Object<'a>) -> Vec<Symbol<'a>> {
    if object.file.architecture() != object::Architecture::X86_64 {
        return Vec::new();
    }
    let slots = slots(object);
    let in_section = |(name, step): (&str, u64)| {
        let section = object.section(name).unwrap_or_default();
        let stub = |at: usize| {
            let jump = section.address.checked_add(at as u64)?;
            let displacement = section.data.get(at + JUMP.len()..at + JUMP_SIZE)?;
            let displacement = i32::from_le_bytes(displacement.try_into().ok()?);
            let slot = jump
                .checked_add(JUMP_SIZE as u64)?
                .checked_add_signed(displacement.into())?;
            let start = jump - (jump - section.address) % step;
            Some(Symbol::stub(start, step, slots.get(&slot)?))
        };
        let jumps = section.data.windows(JUMP.len()).enumerate();
        let jumps = jumps.filter(|(_, code)| *code == JUMP);
        jumps.filter_map(|(at, _)| stub(at)).collect::<Vec<_>>()
    };
    SECTIONS.into_iter().flat_map(in_section).collect()
}

/// The function that each slot of the global offset table is for.
fn slots<'a>(object: &Object<'a>) -> HashMap<u64, &'a str> {
    let table = object.file.dynamic_symbol_table();
    let relocations = object.file.dynamic_relocations();
    let (Some(table), Some(relocations)) = (table, relocations) else {
        return HashMap::new();
    };
    let named = |(slot, relocation): (u64, object::Relocation)| {
        let RelocationTarget::Symbol(index) = relocation.target() else {
            return None;
        };
        let name = table.symbol_by_index(index).ok()?.name().ok()?;
        (!name.is_empty()).then_some((slot, name))
    };
    relocations.filter_map(named).collect()
}
