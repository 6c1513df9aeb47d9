//! Crosses a signal frame: from the kernel's trampoline to the code that was interrupted.
//!
//! A handler returns to a few instructions that call `rt_sigreturn`. C libraries describe them
//! in call frame information with the augmentation `S`, or not at all (musl, Go), so the code
//! itself is compared too; where it is found, the registers are read from the frame that the
//! kernel pushed, which holds all of them.

use super::{CodeAddress, Space, StackFrame, Step};
use crate::arch::{Registers, Trampoline};
use crate::report::Trust;

/// The interrupted frame, when this frame is a trampoline by its code.
pub(super) fn caller_by_signal_frame(space: &Space<'_>, frame: &StackFrame) -> Option<Step> {
    let arch = space.core.arch;
    let trampoline = trampoline_at(space, frame.address.pc())?;
    let sp = frame.registers.get(arch.sp)?;
    let registers = interrupted(space, sp.checked_add(trampoline.registers)?)?;
    let pc = registers.get(arch.pc)?;
    let address = CodeAddress::Interrupted(pc);
    Some(Step::Caller(StackFrame {
        address,
        trust: Trust::Cfi,
        trampoline: false,
        entry: None,
        registers,
    }))
}

/// The code at an address, when it returns from a signal handler.
pub(super) fn trampoline_at(space: &Space<'_>, pc: u64) -> Option<&'static Trampoline> {
    let arch = space.core.arch;
    arch.trampolines
        .iter()
        .find(|trampoline| is_at(space, pc, trampoline.code))
}

fn is_at(space: &Space<'_>, pc: u64, code: &[u8]) -> bool {
    let mut bytes = [0; 16];
    let Some(bytes) = bytes.get_mut(..code.len()) else {
        return false;
    };
    space.read(pc, bytes) && bytes == code
}

fn interrupted(space: &Space<'_>, mut at: u64) -> Option<Registers> {
    let arch = space.core.arch;
    let mut registers = Registers::default();
    for &register in arch.signal_context {
        registers.set(register, Some(space.read_word(at)?));
        at = at.checked_add(arch.word as u64)?;
    }
    Some(registers)
}
