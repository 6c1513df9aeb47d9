//! Finds a caller by the exception handling tables of 32-bit arm: `.ARM.exidx` and `.ARM.extab`.
//!
//! Programs for arm have these in place of `.eh_frame`. An entry says for a whole function how its
//! frame is taken down behind its prologue, so that it holds at calls; for an interrupted
//! instruction it is believed only where it leads to a call. Formats are those of "Exception
//! Handling ABI for the Arm Architecture", sections 6 and 10.

use super::prologue::nearest_start;
use super::{CodeAddress, Space, StackFrame, Step, caller, code_address, is_return_address};
use crate::arch::Registers;
use crate::dump::elf::PT_ARM_EXIDX;
use crate::modules::Module;
use crate::report::Trust;

const ENTRY: u64 = 8;
/// `EXIDX_CANTUNWIND`.
const CANNOT_UNWIND: u64 = 1;
const SP: u16 = 13;
const LR: u16 = 14;
const PC: u16 = 15;
/// Larger tables are damaged.
const ENTRIES_MAX: u64 = 1 << 24;

/// The caller of a frame in this module; `None` when no entry describes the frame.
pub(super) fn caller_by_exidx(
    space: &Space<'_>,
    module: &Module<'_>,
    starts: &[u64],
    frame: &StackFrame,
) -> Option<Step> {
    let interrupted = matches!(frame.address, CodeAddress::Interrupted(_));
    let (start, entry) = entry(space, module, frame.address.lookup())?;
    // Functions without an entry lie behind one that has.
    let own = |address: u64| address.wrapping_sub(module.bias);
    let nearest = nearest_start(starts, own(frame.address.lookup()));
    if nearest.is_some_and(|nearest| nearest & !1 > own(start)) {
        return None;
    }
    let instructions = match entry {
        Entry::CannotUnwind if interrupted => return None,
        Entry::CannotUnwind => return Some(Step::Outermost),
        Entry::Instructions(instructions) => instructions,
    };
    let registers = run(space, &instructions, &frame.registers)?;
    let (before, after) = (frame.registers.get(SP)?, registers.get(SP)?);
    let pc = code_address(space, registers.get(PC)?);
    if pc == 0 && !interrupted {
        return Some(Step::Outermost);
    }
    let grows = after > before || after == before && interrupted;
    if !grows || !is_return_address(space, pc) {
        return None;
    }
    let mut found = caller(space, frame, pc, after, Trust::Cfi);
    for &register in space.core.arch.callee_saved {
        found.registers.set(register, registers.get(register));
    }
    Some(Step::Caller(found))
}

enum Entry {
    CannotUnwind,
    Instructions(Vec<u8>),
}

/// The last entry that does not lie behind an address: its function, and what it says.
fn entry(space: &Space<'_>, module: &Module<'_>, address: u64) -> Option<(u64, Entry)> {
    let header = &module.object.as_ref()?.header;
    let table = header.of_kind(PT_ARM_EXIDX).next()?;
    let start = module.bias.wrapping_add(table.address);
    let count = (table.memory_size / ENTRY).min(ENTRIES_MAX);
    let function = |index: u64| relative(space, start + index * ENTRY);
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if function(middle)? <= address {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let index = low.checked_sub(1)?;
    let (function, at) = (function(index)?, start + index * ENTRY + 4);
    let word = space.read_word(at)?;
    if word == CANNOT_UNWIND {
        return Some((function, Entry::CannotUnwind));
    }
    let instructions = if word >> 31 == 1 {
        compact(space, word, at)
    } else {
        by_personality(space, relative(space, at)?)
    };
    Some((function, Entry::Instructions(instructions?)))
}

/// The address that a word gives relative to its own place, in its lower 31 bits.
fn relative(space: &Space<'_>, at: u64) -> Option<u64> {
    let word = u32::try_from(space.read_word(at)?).ok()?;
    let offset = i64::from((word << 1).cast_signed() >> 1);
    Some(at.wrapping_add_signed(offset) & u64::from(u32::MAX))
}

/// Instructions in a table entry of a personality routine of the ABI or of another.
fn by_personality(space: &Space<'_>, at: u64) -> Option<Vec<u8>> {
    let word = space.read_word(at)?;
    if word >> 31 == 1 {
        return compact(space, word, at);
    }
    // The routine of a language: its data begin with a count of words, as C++'s do.
    let at = at.checked_add(4)?;
    let word = space.read_word(at)?;
    words(space, word, 3, word >> 24 & 0xff, at)
}

/// Instructions in the ABI's own three forms.
fn compact(space: &Space<'_>, word: u64, at: u64) -> Option<Vec<u8>> {
    match word >> 24 & 0x7f {
        0 => words(space, word, 3, 0, at),
        1 | 2 => words(space, word, 2, word >> 16 & 0xff, at),
        _ => None,
    }
}

/// The last bytes of the first word and those of the words behind it, most significant first.
fn words(space: &Space<'_>, first: u64, bytes: usize, more: u64, at: u64) -> Option<Vec<u8>> {
    let big_endian = |word: u64| u32::try_from(word).map(u32::to_be_bytes).ok();
    let mut found = big_endian(first)?.get(4 - bytes..)?.to_vec();
    for index in 1..=more {
        found.extend(big_endian(space.read_word(at.checked_add(index * 4)?)?)?);
    }
    Some(found)
}

/// A stack frame that is being taken down.
struct Frame<'s, 'a> {
    space: &'s Space<'a>,
    sp: u64,
    registers: Registers,
    has_pc: bool,
}

/// Registers of the caller.
fn run(space: &Space<'_>, instructions: &[u8], registers: &Registers) -> Option<Registers> {
    let mut frame = Frame {
        space,
        sp: registers.get(SP)?,
        registers: registers.clone(),
        has_pc: false,
    };
    let mut bytes = instructions.iter().map(|&byte| u64::from(byte));
    while let Some(byte) = bytes.next() {
        if byte == 0xb0 {
            break;
        }
        frame.apply(byte, &mut bytes)?;
    }
    frame.registers.set(SP, Some(frame.sp));
    if !frame.has_pc {
        frame.registers.set(PC, frame.registers.get(LR));
    }
    Some(frame.registers)
}

impl Frame<'_, '_> {
    /// One instruction of the ABI's table 4; `None` for those that refuse, and those unknown.
    fn apply(&mut self, byte: u64, bytes: &mut impl Iterator<Item = u64>) -> Option<()> {
        match byte {
            0x00..=0x3f => self.free((byte << 2) + 4),
            0x40..=0x7f => self.free(((byte & 0x3f) << 2).wrapping_add(4).wrapping_neg()),
            0x80..=0x8f => match (byte & 0x0f) << 8 | bytes.next()? {
                0 => return None,
                mask => self.pop(mask << 4)?,
            },
            0x9d | 0x9f => return None,
            0x90..=0x9f => self.sp = self.registers.get(u16::try_from(byte & 0x0f).ok()?)?,
            0xa0..=0xaf => {
                let saved = (2 << (byte & 7)) - 1;
                self.pop(saved << 4 | (byte >> 3 & 1) << LR)?;
            }
            0xb1 => match bytes.next()? {
                mask @ 1..=15 => self.pop(mask)?,
                _ => return None,
            },
            0xb2 => self.free(0x204_u64.wrapping_add(uleb128(bytes)?.wrapping_shl(2))),
            0xb3 => self.free(doubles(bytes.next()?) + 4),
            // A pointer authentication code, and how it was made.
            0xb4 => self.free(4),
            0xb5 => {}
            0xb8..=0xbf => self.free(((byte & 7) + 1) * 8 + 4),
            0xc8 | 0xc9 => self.free(doubles(bytes.next()?)),
            0xd0..=0xd7 => self.free(((byte & 7) + 1) * 8),
            _ => return None,
        }
        Some(())
    }

    fn free(&mut self, bytes: u64) {
        self.sp = self.sp.wrapping_add(bytes) & u64::from(u32::MAX);
    }

    /// Pops the registers whose bits are set, the lowest first.
    fn pop(&mut self, mask: u64) -> Option<()> {
        let mut new_sp = None;
        for register in (0..16_u16).filter(|register| mask >> register & 1 == 1) {
            let value = self.space.read_word(self.sp)?;
            self.registers.set(register, Some(value));
            self.has_pc |= register == PC;
            if register == SP {
                new_sp = Some(value);
            }
            self.free(4);
        }
        self.sp = new_sp.unwrap_or(self.sp);
        Some(())
    }
}

/// Bytes of the floating-point registers that a byte of two counts names.
fn doubles(byte: u64) -> u64 {
    ((byte & 0x0f) + 1) * 8
}

fn uleb128(bytes: &mut impl Iterator<Item = u64>) -> Option<u64> {
    let mut value = 0_u64;
    for shift in [0, 7, 14, 21] {
        let byte = bytes.next()?;
        value |= (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
