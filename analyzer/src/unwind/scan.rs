//! Searches the stack for what looks like a return address: the last resort.
//!
//! A word is no guess when the call before it leads to the very function of the frame: a function
//! that never returns, such as `abort`, leaves no other way. Otherwise the nearest word above the
//! stack pointer that follows any call is taken, and marked as a guess.

use super::{Space, StackFrame, Step, caller, code_address, is_return_address, signal};
use crate::address::CodeAddress;
use crate::report::Trust;

/// Words searched above the innermost frame, whose function may have much on its stack.
const WORDS_INNERMOST: u64 = 512;
/// Words searched above other frames.
const WORDS: u64 = 64;

/// What was found on a stack.
#[derive(Default)]
pub(super) struct Scanned {
    /// The caller by a call that leads to the frame's function.
    pub(super) by_call: Option<Step>,
    /// The nearest that may be a caller.
    pub(super) nearest: Option<Step>,
}

/// Searches for the caller of a frame. `function` is where the frame's function starts.
pub(super) fn scan(space: &Space<'_>, frame: &StackFrame, function: Option<u64>) -> Scanned {
    let arch = space.core.arch;
    let word = arch.word as u64;
    let mut scanned = Scanned::default();
    let sp = frame.registers.get(arch.sp);
    let Some(sp) = sp.and_then(|sp| sp.checked_next_multiple_of(word)) else {
        return scanned;
    };
    let words = match frame.address {
        CodeAddress::Interrupted(_) => WORDS_INNERMOST,
        CodeAddress::Return(_) => WORDS,
    };
    for index in 0..words {
        let at = sp.saturating_add(index * word);
        let Some(pc) = space.read_word(at).map(|pc| code_address(space, pc)) else {
            break;
        };
        if !is_return_address(space, pc) {
            continue;
        }
        if leads_to(space, pc, function) {
            scanned.by_call = Some(found(space, frame, at, pc, Trust::Code));
            break;
        }
        let guess = || found(space, frame, at, pc, Trust::Scan);
        scanned.nearest = scanned.nearest.or_else(|| Some(guess()));
    }
    scanned
}

/// Whether the call before a return address goes to a function, or the kernel called it as a signal
/// handler.
pub(super) fn leads_to(space: &Space<'_>, return_address: u64, function: Option<u64>) -> bool {
    function.is_some()
        && (called(space, return_address) == function
            || signal::trampoline_at(space, return_address).is_some())
}

fn found(space: &Space<'_>, frame: &StackFrame, at: u64, pc: u64, trust: Trust) -> Step {
    let arch = space.core.arch;
    let above = at.saturating_add(arch.word as u64);
    let mut caller = caller(space, frame, pc, above, trust);
    for &register in arch.callee_saved {
        caller.registers.set(register, None);
    }
    let fp = frame.registers.get(arch.fp).filter(|fp| *fp >= above);
    caller.registers.set(arch.fp, fp);
    Step::Caller(caller)
}

/// Where the x86 call before a return address went, through the stub of another module's function
/// too.
fn called(space: &Space<'_>, return_address: u64) -> Option<u64> {
    if !matches!(space.core.arch.name, "x86_64" | "i386") {
        return None;
    }
    let mut call = [0; 5];
    let read = space.read(return_address.checked_sub(5)?, &mut call);
    let [0xe8, distance @ ..] = call else {
        return None;
    };
    let target = read.then(|| relative(return_address, distance))?;
    Some(behind_stub(space, target).unwrap_or(target))
}

/// Where a stub (`endbr64; bnd jmp [rip + distance]`, the first two not always there) jumps to.
fn behind_stub(space: &Space<'_>, target: u64) -> Option<u64> {
    let mut code = [0; 12];
    if space.core.arch.name != "x86_64" || !space.read(target, &mut code) {
        return None;
    }
    let after = |start: usize, prefix: &[u8]| {
        let here = code
            .get(start..)
            .is_some_and(|code| code.starts_with(prefix));
        start + if here { prefix.len() } else { 0 }
    };
    let jump = after(after(0, &[0xf3, 0x0f, 0x1e, 0xfa]), &[0xf2]);
    let [0xff, 0x25, distance @ ..] = code.get(jump..)?.first_chunk::<6>()? else {
        return None;
    };
    let behind = target.checked_add(jump as u64)?.checked_add(6)?;
    space.read_word(relative(behind, *distance))
}

fn relative(from: u64, distance: [u8; 4]) -> u64 {
    from.wrapping_add_signed(i64::from(i32::from_le_bytes(distance)))
}
