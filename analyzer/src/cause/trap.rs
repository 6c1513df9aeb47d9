//! Explains what the processor or the kernel refused to execute: SIGILL, SIGFPE, SIGTRAP, SIGSYS.

use super::instruction::{Division, Instruction};
use super::{Confidence, conclude, place};
use crate::report::Cause;
use crate::scene::Scene;

pub(super) fn illegal_instruction(scene: &dyn Scene, instruction: Option<&Instruction>) -> Cause {
    let place = place(scene);
    let Some(instruction) = instruction else {
        let title = format!("illegal instruction in {place}");
        return conclude("illegal-instruction", title, Confidence::Likely)
            .evidence("The bytes at the program counter are not in the core.");
    };
    let bytes = instruction.bytes();
    if instruction.is_trap() {
        let title = format!("trap placed by the compiler in {place}");
        return conclude("compiler-trap", title, Confidence::Certain).evidence(format!(
            "The bytes at the program counter are {bytes}: `{}`, which compilers emit where the program must not get to.",
            instruction.text
        ));
    }
    let cause = conclude(
        "illegal-instruction",
        format!("illegal instruction in {place}"),
        Confidence::Certain,
    );
    if instruction.is_invalid() {
        return cause.evidence(format!(
            "The bytes at the program counter begin with {bytes}, which is no instruction: this is data, or code that was overwritten."
        ));
    }
    cause.evidence(format!(
        "The bytes at the program counter are {bytes}: `{}`, which this processor does not know, or does not allow to a program.",
        instruction.text
    ))
}

/// `FPE_*` of include/uapi/asm-generic/siginfo.h.
const FPE_INTDIV: i32 = 1;

pub(super) fn arithmetic(scene: &dyn Scene, instruction: Option<&Instruction>) -> Cause {
    let place = place(scene);
    let code = scene.signal().code;
    if code == Some(FPE_INTDIV) {
        return integer_division(scene, instruction, &place);
    }
    let (kind, what) = match code {
        Some(2) => ("arithmetic-error", "integer overflow"),
        Some(3) => ("division-by-zero", "floating-point division by zero"),
        Some(4) => ("arithmetic-error", "floating-point overflow"),
        Some(5) => ("arithmetic-error", "floating-point underflow"),
        Some(6) => ("arithmetic-error", "inexact floating-point result"),
        Some(7) => ("arithmetic-error", "invalid floating-point operation"),
        _ => ("arithmetic-error", "arithmetic error"),
    };
    let name = scene.signal().code_name.as_deref().unwrap_or("SIGFPE");
    conclude(kind, format!("{what} in {place}"), Confidence::Certain)
        .evidence(format!("{name}: the program asked for a signal on it."))
}

/// The processor's divide error stands for a zero divisor and for a quotient that does not fit.
fn integer_division(scene: &dyn Scene, instruction: Option<&Instruction>, place: &str) -> Cause {
    let title = format!("division by zero in {place}");
    match instruction.and_then(|instruction| instruction.division(scene)) {
        Some(Division::ByZero(divisor)) => {
            conclude("division-by-zero", title, Confidence::Certain).evidence(divisor)
        }
        Some(Division::Overflow(quotient)) => {
            let title = format!("division overflow: {quotient} in {place}");
            conclude("division-overflow", title, Confidence::Certain)
                .evidence("The divisor is not zero: the quotient does not fit its register.")
        }
        None => conclude("division-by-zero", title, Confidence::Likely)
            .evidence("FPE_INTDIV: an integer was divided by zero, or the quotient does not fit."),
    }
}

pub(super) fn breakpoint(scene: &dyn Scene, instruction: Option<&Instruction>) -> Cause {
    let place = place(scene);
    if let Some(int3) = Instruction::passed_breakpoint(scene) {
        let title = format!("breakpoint instruction in {place}");
        return conclude("compiler-trap", title, Confidence::Likely).evidence(format!(
            "`{}` stands before the program counter: placed by a compiler to stop the program, or by a debugger.",
            int3.text
        ));
    }
    let cause = conclude("breakpoint", format!("trap in {place}"), Confidence::Likely);
    match instruction {
        Some(instruction) => {
            cause.evidence(format!("The next instruction is `{}`.", instruction.text))
        }
        None => cause,
    }
}

/// SIGSYS comes after the system call's instruction, so that one is not shown.
pub(super) fn forbidden_call(scene: &dyn Scene) -> Cause {
    let place = place(scene);
    let call = scene.signal().system_call.as_deref();
    let title = match call {
        Some(call) => format!("forbidden system call {call} in {place}"),
        None => format!("forbidden system call in {place}"),
    };
    let by = match scene.signal().code_name.as_deref() {
        Some("SYS_USER_DISPATCH") => "system calls from this place are dispatched to the program",
        _ => "a seccomp filter refused the system call",
    };
    conclude("bad-syscall", title, Confidence::Certain).evidence(format!("SIGSYS: {by}."))
}
