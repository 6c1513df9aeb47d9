//! Finds a caller by the instructions that open a function, for code of arm, aarch64 and riscv64
//! that no table describes: C libraries for arm and riscv64 describe few of their functions.
//!
//! What the prologue pushed, and how far it moved the stack pointer, is the frame. Its
//! instructions are read from the start of the function, which its symbol gives, up to the first
//! branch or the frame's own place.

mod aarch64;
mod arm;
mod riscv64;

use super::{CodeAddress, Space, StackFrame, Step, caller, code_address, is_return_address};
use crate::image::Object;
use crate::modules::Module;
use crate::report::Trust;
use object::{Object as _, ObjectSymbol as _, SymbolKind};

/// No prologue is longer, bytes.
const PROLOGUE_MAX: u64 = 128;
/// More symbols than the largest programs have.
const SYMBOLS_MAX: usize = 1 << 22;

/// Where a module's functions start, in order of address. On arm, the lowest bit is set for those
/// in the Thumb instruction set.
pub(super) fn function_starts(object: &Object<'_>) -> Vec<u64> {
    let tables = [
        object.file.symbol_table(),
        object.file.dynamic_symbol_table(),
    ];
    let symbols = tables
        .iter()
        .flatten()
        .flat_map(object::ObjectSymbolTable::symbols);
    let mut starts: Vec<u64> = symbols
        .filter(|symbol| symbol.kind() == SymbolKind::Text && !symbol.is_undefined())
        .map(|symbol| symbol.address())
        .take(SYMBOLS_MAX)
        .collect();
    starts.sort_unstable();
    starts
}

/// The last start that does not lie behind an address.
pub(super) fn nearest_start(starts: &[u64], address: u64) -> Option<u64> {
    let after = starts.partition_point(|start| start & !1 <= address);
    starts.get(after.checked_sub(1)?).copied()
}

/// The caller of a frame in this module. `None` when its function is not known or does not save
/// what is needed.
pub(super) fn caller_by_prologue(
    space: &Space<'_>,
    module: &Module<'_>,
    starts: &[u64],
    frame: &StackFrame,
) -> Option<Step> {
    let arch = space.core.arch;
    let (sp, link) = (frame.registers.get(arch.sp)?, arch.link?);
    let own = frame.address.lookup().wrapping_sub(module.bias);
    let start = nearest_start(starts, own)?;
    let thumb = arch.name == "arm" && start & 1 == 1;
    let start = (start & !1).wrapping_add(module.bias);
    let prologue = Prologue::read(space, start, frame.address.pc(), thumb);

    let cfa = match prologue.frame_pointer {
        Some((register, depth)) => frame.registers.get(register)?.checked_add(depth)?,
        None => sp.checked_add(prologue.depth)?,
    };
    let mut registers = frame.registers.clone();
    for (register, depth) in &prologue.saved {
        registers.set(*register, space.read_word(cfa.checked_sub(*depth)?));
    }
    let interrupted = matches!(frame.address, CodeAddress::Interrupted(_));
    let saves_link = prologue.saved.iter().any(|(register, _)| *register == link);
    if !interrupted && (!saves_link || cfa <= sp) {
        return None;
    }
    let pc = code_address(space, registers.get(link)?);
    if !is_return_address(space, pc) {
        return None;
    }
    let mut found = caller(space, frame, pc, cfa, Trust::Code);
    for &register in arch.callee_saved {
        found.registers.set(register, registers.get(register));
    }
    Some(Step::Caller(found))
}

/// What a function did to its stack.
#[derive(Debug, Default, PartialEq, Eq)]
struct Prologue {
    /// Bytes between the stack pointer and where it was at the call.
    depth: u64,
    /// Registers saved, and how deep.
    saved: Vec<(u16, u64)>,
    /// The frame pointer, and how deep it points.
    frame_pointer: Option<(u16, u64)>,
    /// Registers that were given a constant: how riscv64 makes the size of a large frame.
    constants: [Option<i32>; 32],
}

impl Prologue {
    fn read(space: &Space<'_>, start: u64, end: u64, thumb: bool) -> Self {
        let step = match space.core.arch.name {
            "arm" => arm::step,
            "riscv64" => riscv64::step,
            _ => aarch64::step,
        };
        let mut prologue = Prologue::default();
        let end = end.min(start.saturating_add(PROLOGUE_MAX));
        let mut at = start;
        while at < end {
            let mut bytes = [0; 4];
            // The last instruction of all may be a short one.
            if !space.read(at, &mut bytes) && !space.read(at, &mut bytes[..2]) {
                break;
            }
            let Some(length) = step(&mut prologue, bytes, thumb) else {
                break;
            };
            at += length;
        }
        prologue
    }

    fn grow(&mut self, bytes: u64) {
        self.depth = self.depth.saturating_add(bytes);
    }

    /// Notes a register saved at some bytes above the stack pointer. Only the first place counts:
    /// it holds the caller's value.
    fn save(&mut self, register: u32, above_sp: u64) {
        let register = u16::try_from(register).unwrap_or(u16::MAX);
        let known = self.saved.iter().any(|(known, _)| *known == register);
        if let (false, Some(depth)) = (known, self.depth.checked_sub(above_sp)) {
            self.saved.push((register, depth));
        }
    }

    /// Pushes the registers whose bits are set; the lowest lies lowest.
    fn push(&mut self, mask: u32) {
        self.grow(u64::from(mask.count_ones()) * 4);
        let registers = (0..16_u16).filter(|register| mask >> register & 1 == 1);
        for (place, register) in (0_u64..).zip(registers) {
            self.save(u32::from(register), place * 4);
        }
    }

    fn set_frame_pointer(&mut self, register: u16, above_sp: u32) {
        let depth = self.depth.checked_sub(u64::from(above_sp));
        self.frame_pointer = depth.map(|depth| (register, depth));
    }
}
