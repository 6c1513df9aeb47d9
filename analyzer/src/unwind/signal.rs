//! Crosses a signal frame: from the kernel's trampoline to the code that was interrupted.
//!
//! A handler returns to a few instructions that call `rt_sigreturn`. C libraries describe them
//! in call frame information with the augmentation `S`, or not at all (musl, Go), so the code
//! itself is compared too; where it is found, the registers are read from the frame that the
//! kernel pushed, which holds all of them.

use super::{CodeAddress, Space, StackFrame, Step};
use crate::arch::{Registers, SignalContext};
use crate::report::Trust;

/// The interrupted frame, when this frame is a trampoline by its code.
pub(super) fn caller_by_signal_frame(space: &Space<'_>, frame: &StackFrame) -> Option<Step> {
    let arch = space.core.arch;
    let layout = arch.signal_context.as_ref()?;
    if !is_trampoline(space, frame.address.pc()) {
        return None;
    }
    let sp = frame.registers.get(arch.sp)?;
    let registers = interrupted(space, layout, sp)?;
    let pc = registers.get(arch.pc)?;
    let address = CodeAddress::Interrupted(pc);
    Some(Step::Caller(StackFrame {
        address,
        trust: Trust::Cfi,
        trampoline: false,
        registers,
    }))
}

/// Whether the code at an address returns from a signal handler.
pub(super) fn is_trampoline(space: &Space<'_>, pc: u64) -> bool {
    let arch = space.core.arch;
    arch.trampolines.iter().any(|code| is_at(space, pc, code))
}

fn is_at(space: &Space<'_>, pc: u64, code: &[u8]) -> bool {
    let mut bytes = [0; 16];
    let Some(bytes) = bytes.get_mut(..code.len()) else {
        return false;
    };
    space.read(pc, bytes) && bytes == code
}

fn interrupted(space: &Space<'_>, layout: &SignalContext, sp: u64) -> Option<Registers> {
    let word = space.core.arch.word as u64;
    let mut registers = Registers::default();
    let mut at = sp.checked_add(layout.offset)?;
    for &register in layout.registers {
        registers.set(register, Some(space.read_word(at)?));
        at = at.checked_add(word)?;
    }
    Some(registers)
}
