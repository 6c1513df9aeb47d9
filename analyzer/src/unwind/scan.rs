//! Searches the stack for what looks like a return address: the last resort, always a guess.

use super::{Space, StackFrame, Step, caller};
use crate::address::CodeAddress;
use crate::report::Trust;

/// Words searched above the innermost frame, whose function may have much on its stack.
const WORDS_INNERMOST: u64 = 512;
/// Words searched above other frames.
const WORDS: u64 = 64;

/// The nearest word above the stack pointer that follows a call instruction.
pub(super) fn caller_by_scan(space: &Space<'_>, frame: &StackFrame) -> Option<Step> {
    let arch = space.core.arch;
    let word = arch.word as u64;
    let sp = frame
        .registers
        .get(arch.sp)?
        .checked_next_multiple_of(word)?;
    let words = match frame.address {
        CodeAddress::Interrupted(_) => WORDS_INNERMOST,
        CodeAddress::Return(_) => WORDS,
    };
    for index in 0..words {
        let at = sp.checked_add(index * word)?;
        let pc = super::code_address(space, space.read_word(at)?);
        if !super::is_return_address(space, pc) {
            continue;
        }
        let above = at.checked_add(word)?;
        let mut caller = caller(space, frame, pc, above, Trust::Scan);
        for &register in arch.callee_saved {
            caller.registers.set(register, None);
        }
        let fp = frame.registers.get(arch.fp).filter(|fp| *fp >= above);
        caller.registers.set(arch.fp, fp);
        return Some(Step::Caller(caller));
    }
    None
}
