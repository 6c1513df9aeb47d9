//! Gathers the evidence at the place of the crash: the code around the instruction, the registers
//! it uses, and the memory that those lead to.

use super::handed::run_up;
use super::handler::{self, Interrupted};
use super::instruction::Instruction;
use super::{code, memory};
use crate::report::{RegisterUse, Site};
use crate::scene::{Function, Scene};

/// `syscall`, after which the program counter stands when the kernel refuses one.
const SYSCALL: u64 = 2;

/// What is at the place of the crash. `None` when no instruction is to blame: for signals that
/// were sent, and where its bytes are not at hand. `withhold` leaves memory out.
pub fn site(scene: &dyn Scene, withhold: bool) -> Option<Site> {
    match handler::before(scene) {
        None => of(scene, withhold),
        Some(before) => of(&before, withhold),
    }
}

fn of(scene: &dyn Scene, withhold: bool) -> Option<Site> {
    let signal = scene.signal();
    let raised = matches!(
        signal.name.as_str(),
        "SIGSEGV" | "SIGBUS" | "SIGILL" | "SIGFPE" | "SIGTRAP" | "SIGSYS"
    );
    if !raised || signal.code.is_none_or(|code| code <= 0) {
        return None;
    }
    let pc = scene.pc()?;
    if signal.name == "SIGSYS" {
        let what = "the system call that was refused";
        return around(scene, pc.checked_sub(SYSCALL)?, what, withhold);
    }
    if signal.name == "SIGTRAP" && Instruction::passed_breakpoint(scene).is_some() {
        return around(
            scene,
            pc.checked_sub(1)?,
            "the instruction that trapped",
            withhold,
        );
    }
    if is_code(scene, pc) {
        return around(scene, pc, "the instruction that faulted", withhold);
    }
    of_caller(scene, withhold)
}

fn is_code(scene: &dyn Scene, pc: u64) -> bool {
    scene
        .mapping_at(pc)
        .map_or(scene.function(pc).is_some(), |mapping| mapping.executable)
}

/// Where a jump led nowhere, the call that it came from.
fn of_caller(scene: &dyn Scene, withhold: bool) -> Option<Site> {
    let at = scene.frames().iter().position(|frame| !frame.inline)?;
    let at = at.checked_add(1)?;
    let caller = Interrupted::frame(scene, at);
    let call = run_up(scene, scene.frames().get(at)?.pc.0)?.last()?.ip();
    around(&caller, call, "the call that led there", withhold)
}

fn around(scene: &dyn Scene, pc: u64, what: &str, withhold: bool) -> Option<Site> {
    let marked = Instruction::at(scene, pc)?;
    let function = scene.function(pc);
    let registers = registers(scene, &marked);
    Some(Site {
        what: what.to_owned(),
        code: code::around(scene, pc, function.as_ref()),
        function: function.map(|function| function.name),
        memory: if withhold {
            Vec::new()
        } else {
            memory::shown(scene, &marked, &registers)
        },
        memory_withheld: withhold,
        registers,
    })
}

fn registers(scene: &dyn Scene, instruction: &Instruction) -> Vec<RegisterUse> {
    let used = |(name, value, is_address): (String, u64, bool)| RegisterUse {
        name,
        value: crate::report::Address(value),
        points_to: is_address.then(|| points_to(scene, value)),
    };
    instruction.registers(scene).into_iter().map(used).collect()
}

/// What is at an address, in words.
fn points_to(scene: &dyn Scene, address: u64) -> String {
    if let Some(Function { start, name, .. }) =
        scene.function(address).filter(|function| function.size > 0)
    {
        return format!("{name}+{:#x}", address.wrapping_sub(start));
    }
    let Some(mapping) = scene.mapping_at(address) else {
        return "not mapped".to_owned();
    };
    let sp = scene.sp().unwrap_or_default();
    let rights = super::fault::rights(mapping);
    if (mapping.start..mapping.end).contains(&sp) {
        return format!("the stack, {rights}");
    }
    rights
}
