//! Finds a caller by the frame pointer, for code without call frame information.

use super::{Space, StackFrame, Step, at_entry, caller};
use crate::address::CodeAddress;
use crate::report::Trust;

/// `push rbp`, also after `endbr64`: the function has not run yet.
const PUSH: [&[u8]; 2] = [&[0x55], &[0xf3, 0x0f, 0x1e, 0xfa, 0x55]];
/// `mov rbp, rsp` in both encodings: `push rbp` has run.
const MOVE: [&[u8]; 2] = [&[0x48, 0x89, 0xe5], &[0x48, 0x8b, 0xec]];

/// The caller by the frame pointer chain. `None` when the chain does not lead to a call.
pub(super) fn caller_by_frame_pointer(space: &Space<'_>, frame: &StackFrame) -> Option<Step> {
    let arch = space.core.arch;
    let word = arch.word as u64;
    if let Some(step) = within_prologue(space, frame) {
        return Some(step);
    }
    let (sp, fp) = (frame.registers.get(arch.sp)?, frame.registers.get(arch.fp)?);
    if fp == 0 && matches!(frame.address, CodeAddress::Return(_)) {
        // Both ABIs have a zero frame pointer mark the outermost frame.
        return Some(Step::Outermost);
    }
    if fp < sp {
        return None;
    }
    let record = fp.checked_add_signed(arch.frame_record)?;
    let (saved, pc) = (
        space.read_word(record)?,
        space.read_word(record.checked_add(word)?)?,
    );
    if saved == 0 && pc == 0 {
        // Any register may point to zeros; one at the end of a chain marks the outermost frame.
        return (frame.trust == Trust::FramePointer).then_some(Step::Outermost);
    }
    let pc = super::code_address(space, pc);
    if !super::is_return_address(space, pc)
        && !continues_in_generated_code(space, pc, saved, record)
    {
        return None;
    }
    let mut caller = caller(
        space,
        frame,
        pc,
        record.checked_add(2 * word)?,
        Trust::FramePointer,
    );
    caller.registers.set(arch.fp, Some(saved));
    Some(Step::Caller(caller))
}

/// Whether a return address that follows no call is still one. Interpreters in generated code push
/// addresses of their own making (Java's return entries), so there the chain itself must do: it goes
/// up, and leads to code once more.
fn continues_in_generated_code(space: &Space<'_>, pc: u64, saved: u64, record: u64) -> bool {
    let is_code = |pc: u64| space.is_executable(pc) == Some(true);
    let next = || {
        let at = saved.checked_add_signed(space.core.arch.frame_record)?;
        space.read_word(at.checked_add(space.core.arch.word as u64)?)
    };
    is_code(pc)
        && space.module_at(pc).is_none()
        && saved > record
        && next().is_some_and(|pc| is_code(super::code_address(space, pc)))
}

/// An interrupted function that has not set up its frame pointer yet.
fn within_prologue(space: &Space<'_>, frame: &StackFrame) -> Option<Step> {
    let arch = space.core.arch;
    let CodeAddress::Interrupted(pc) = frame.address else {
        return None;
    };
    if arch.name != "x86_64" {
        return None;
    }
    let mut code = [0; 5];
    if !space.read(pc, &mut code) {
        return None;
    }
    let starts = |patterns: &[&[u8]]| patterns.iter().any(|pattern| code.starts_with(pattern));
    let mut entered = frame.clone();
    if starts(&MOVE) {
        let sp = frame.registers.get(arch.sp)?;
        entered.registers.set(arch.fp, space.read_word(sp));
        entered
            .registers
            .set(arch.sp, Some(sp.checked_add(arch.word as u64)?));
    } else if !starts(&PUSH) {
        return None;
    }
    let mut caller = at_entry(space, &entered)?;
    caller.trust = Trust::FramePointer;
    super::is_return_address(space, caller.address.pc()).then_some(Step::Caller(caller))
}
