//! Explains SIGSEGV and SIGBUS: which address, by which instruction, and what is wrong with it.

use super::instruction::{Instruction, LONGEST, Operand};
use super::{Confidence, SI_KERNEL, abort, conclude, freed, handler, place, top};
use crate::group;
use crate::report::{Address, Cause, Signal};
use crate::scene::{Mapping, Scene};

/// The lowest address Linux maps by default is 64 KiB (`vm.mmap_min_addr`).
const NEAR_NULL: u64 = 64 * 1024;
/// What a null pointer plus a small offset reaches.
const NULL_PAGE: u64 = 4096;
/// How far below the stack pointer a function may touch: a page for each probe of a large frame.
const BELOW_STACK: u64 = 64 * 1024;
/// How far under the stack a fault is still one of the stack: guard regions are up to 1 MiB.
const GUARD: u64 = 1 << 20;

/// `SEGV_MAPERR`, `SEGV_ACCERR`, `BUS_ADRALN`, `BUS_ADRERR` of include/uapi/asm-generic/siginfo.h.
const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;

pub(super) fn explain(scene: &dyn Scene, instruction: Option<&Instruction>) -> Cause {
    let signal = scene.signal();
    if signal.code == Some(SI_KERNEL) {
        return without_address(scene, instruction);
    }
    let Some(address) = signal.address.map(|address| address.0) else {
        return conclude(
            "unknown",
            format!("{} in {}", signal.name, place(scene)),
            Confidence::Certain,
        );
    };
    if let Some(cause) = wild_jump(scene, address) {
        return cause;
    }
    if is_alignment_check(signal) {
        return unaligned(scene, instruction);
    }
    let operand = instruction.and_then(|instruction| instruction.operand_at(address));
    let access = operand.map_or("access", |operand| operand.access);
    let found = classify(scene, address, access, operand);
    let title = format!("{} {address:#x} in {}", found.verb, spot(scene));
    let mut cause = conclude(found.kind, title, found.confidence).evidence(found.evidence);
    if let Some(operand) = operand {
        cause = cause
            .access(operand.access)
            .evidence(how_addressed(instruction, operand));
    }
    cause
}

/// Where the instruction is; and when that is somebody else's code, who called it.
fn spot(scene: &dyn Scene) -> String {
    let place = place(scene);
    let Some(first) = scene.frames().first().filter(|first| !first.in_app) else {
        return place;
    };
    let function = first.function.as_deref().map(group::normalize);
    let module = || {
        first
            .module
            .as_deref()?
            .rsplit('/')
            .next()
            .map(str::to_owned)
    };
    match function.or_else(module) {
        Some(spot) if spot != place => format!("{spot}, called from {place}"),
        _ => place,
    }
}

struct Class {
    kind: &'static str,
    verb: String,
    confidence: Confidence,
    evidence: String,
}

fn classify(scene: &dyn Scene, address: u64, access: &str, operand: Option<&Operand>) -> Class {
    let verb = match access {
        "read" => "read of",
        "write" => "write to",
        _ => "access to",
    };
    let class = |kind, evidence: String| Class {
        kind,
        verb: verb.to_owned(),
        confidence: Confidence::Certain,
        evidence,
    };
    let code = scene.signal().code;
    let mapping = scene.mapping_at(address);
    if scene.signal().name == "SIGBUS" {
        return bus(code, address, mapping, class);
    }
    if let Some(evidence) = stack_overflow(scene, address) {
        let overflow = class("stack-overflow", evidence);
        return Class {
            verb: format!("stack overflow: {verb}"),
            ..overflow
        };
    }
    let base = operand.and_then(|operand| operand.base);
    if let Some((confidence, evidence)) = freed::sign(scene, address, base) {
        return Class {
            confidence,
            ..class("freed-memory", evidence)
        };
    }
    match mapping {
        _ if address < NULL_PAGE => class(
            "null-dereference",
            format!(
                "{address:#x} is within the page at address zero: a null pointer, or a member of what one should point at."
            ),
        ),
        _ if address < NEAR_NULL => class(
            "near-null-access",
            format!(
                "{address:#x} is within 64 KiB of zero: an element or member far into what a null pointer should point at."
            ),
        ),
        _ if code == Some(SEGV_ACCERR) => {
            class("permission-violation", forbidden(address, mapping))
        }
        _ => class(
            "invalid-address",
            format!("Nothing was mapped at {address:#x}."),
        ),
    }
}

fn bus(
    code: Option<i32>,
    address: u64,
    mapping: Option<&Mapping>,
    class: impl Fn(&'static str, String) -> Class,
) -> Class {
    match (code, mapping.and_then(|mapping| mapping.path.as_deref())) {
        (Some(BUS_ADRALN), _) => class(
            "misaligned-access",
            format!("{address:#x} is not aligned as the instruction needs it."),
        ),
        (Some(BUS_ADRERR), Some(path)) => class(
            "truncated-mapping",
            format!(
                "{address:#x} is mapped from {path}, which has no such page any more: the file was cut, or its disk is full."
            ),
        ),
        (Some(BUS_ADRERR), None) => Class {
            confidence: Confidence::Likely,
            ..class(
                "truncated-mapping",
                format!(
                    "BUS_ADRERR: there is no page at {address:#x}, as in a mapping of a file that was cut."
                ),
            )
        },
        _ => class(
            "invalid-address",
            format!("The kernel could not provide the page at {address:#x}."),
        ),
    }
}

/// The kernel says that the address was mapped; a core may leave out by what.
fn forbidden(address: u64, mapping: Option<&Mapping>) -> String {
    match mapping {
        Some(mapping) => format!("{address:#x} is mapped {}.", rights(mapping)),
        None => format!("SEGV_ACCERR: {address:#x} was mapped, but not for this access."),
    }
}

pub(super) fn rights(mapping: &Mapping) -> String {
    let rights = match (mapping.readable, mapping.writable, mapping.executable) {
        (false, false, false) => "without any permission",
        (true, false, false) => "read-only",
        (true, false, true) => "read-only and executable",
        (_, true, _) => "writable",
        (false, false, true) => "execute-only",
    };
    let path = mapping
        .path
        .as_deref()
        .map(|path| format!(" from {path}"))
        .unwrap_or_default();
    format!("{rights}{path}")
}

/// The fault is by the stack pointer, and there is no writable memory, but a stack above it.
fn stack_overflow(scene: &dyn Scene, address: u64) -> Option<String> {
    let sp = scene.sp()?;
    let near = address >= sp.saturating_sub(BELOW_STACK) && address < sp.saturating_add(NULL_PAGE);
    let writable = scene
        .mapping_at(address)
        .is_some_and(|mapping| mapping.writable);
    if !near || writable || address < NEAR_NULL {
        return None;
    }
    let after = scene
        .mappings()
        .partition_point(|mapping| mapping.start <= address);
    let stack = scene
        .mappings()
        .iter()
        .skip(after)
        .find(|mapping| mapping.writable)?;
    let gap = stack.start.checked_sub(address)?;
    (gap <= GUARD).then(|| {
        format!(
            "The stack pointer is {sp:#x} and the fault is {gap} bytes below the stack, which begins at {:#x}.",
            stack.start
        )
    })
}

/// The program counter itself is where nothing can be executed.
fn wild_jump(scene: &dyn Scene, address: u64) -> Option<Cause> {
    let pc = scene.pc()?;
    // gdb's cores leave out code that is its file's: only a fault at the program counter itself
    // tells that nothing is there.
    let fetch = address.wrapping_sub(pc) < LONGEST;
    if scene
        .mapping_at(pc)
        .map_or(!fetch, |mapping| mapping.executable)
    {
        return None;
    }
    // The frame of the wild program counter may carry the name of data it lies in.
    let callers = scene.frames().get(1..).unwrap_or_default();
    let caller = group::place(callers).unwrap_or_else(|| "an unknown place".to_owned());
    let mapping = scene.mapping_at(pc);
    let (kind, what, evidence) = match mapping {
        _ if pc == 0 => (
            "wild-jump",
            "call of a null function pointer".to_owned(),
            "The program counter is 0x0.".to_owned(),
        ),
        _ if pc < NULL_PAGE => (
            "wild-jump",
            format!("jump to {pc:#x}"),
            format!("The program counter is {pc:#x}, within the page at address zero."),
        ),
        Some(mapping) if scene.signal().code == Some(SEGV_ACCERR) => (
            "permission-violation",
            format!("jump to {pc:#x}, which is not executable,"),
            format!(
                "The program counter is {pc:#x}, which is mapped {}.",
                rights(mapping)
            ),
        ),
        _ => (
            "wild-jump",
            format!("jump to {pc:#x}"),
            format!("The program counter is {pc:#x}, which is not mapped."),
        ),
    };
    let confidence = if address == pc {
        Confidence::Certain
    } else {
        Confidence::Likely
    };
    Some(
        conclude(kind, format!("{what} in {caller}"), confidence)
            .access("execute")
            .evidence(evidence),
    )
}

/// A general protection fault: on x86-64 the kernel does not know the address.
fn without_address(scene: &dyn Scene, instruction: Option<&Instruction>) -> Cause {
    let place = spot(scene);
    if let Some(cause) = instruction.and_then(|found| wild_target(scene, found, &place)) {
        return cause;
    }
    let wild = instruction.and_then(|found| {
        found
            .operands
            .iter()
            .find(|operand| !is_canonical(operand.address))
    });
    if let Some(operand) = wild {
        let verb = if operand.access == "read" {
            "read of"
        } else {
            "write to"
        };
        let title = format!(
            "{verb} non-canonical address {:#x} in {place}",
            operand.address
        );
        let cause = match freed::sign(scene, operand.address, operand.base) {
            Some((confidence, sign)) => conclude("freed-memory", title, confidence).evidence(sign),
            None => conclude("non-canonical-address", title, Confidence::Certain),
        };
        let evidence = format!(
            "{:#x} is no address on this processor: its upper bits are neither all zero nor all one.",
            operand.address
        );
        return cause
            .access(operand.access)
            .evidence(evidence)
            .evidence(how_addressed(instruction, operand));
    }
    if let Some(cause) = instruction.and_then(|found| misaligned_vector(found, &place)) {
        return cause;
    }
    if let Some(cause) = abort::stopped(scene, instruction) {
        return cause;
    }
    if let Some(found) = instruction.filter(|found| found.is_privileged()) {
        let title = format!("privileged instruction `{}` in {place}", found.text);
        return conclude("illegal-instruction", title, Confidence::Certain).evidence(
            "Only the kernel may execute it; some C libraries use it to stop a program.",
        );
    }
    let returns_nowhere = top(scene).is_none_or(|frame| frame.module.is_none());
    let title = if returns_nowhere {
        "jump to a non-canonical address"
    } else {
        "general protection fault"
    };
    conclude("unknown", format!("{title} in {place}"), Confidence::Guess)
        .evidence("The kernel reported a general protection fault, which carries no address.")
}

/// The processor's alignment check: the program asked for it by a flag, and the kernel gives no
/// address (arch/x86/kernel/traps.c, `exc_alignment_check`).
fn is_alignment_check(signal: &Signal) -> bool {
    signal.name == "SIGBUS" && signal.code == Some(BUS_ADRALN) && signal.address == Some(Address(0))
}

fn unaligned(scene: &dyn Scene, instruction: Option<&Instruction>) -> Cause {
    let odd = instruction.and_then(|found| {
        found
            .operands
            .iter()
            .find(|operand| operand.size > 1 && operand.address % operand.size != 0)
    });
    let place = spot(scene);
    let Some(operand) = odd else {
        let title = format!("misaligned access in {place}");
        return conclude("misaligned-access", title, Confidence::Certain);
    };
    let title = format!(
        "misaligned {} of {:#x} in {place}",
        operand.access, operand.address
    );
    conclude("misaligned-access", title, Confidence::Certain)
        .access(operand.access)
        .evidence(format!(
            "{:#x} is no multiple of {}, and the program had the processor check that.",
            operand.address, operand.size
        ))
        .evidence(how_addressed(instruction, operand))
}

/// A vector instruction that needs its operand aligned. On x86-64 that is a general protection
/// fault, hence SIGSEGV, not SIGBUS.
fn misaligned_vector(instruction: &Instruction, place: &str) -> Option<Cause> {
    let operand = instruction
        .operands
        .iter()
        .find(|operand| operand.size >= 16 && operand.address % operand.size != 0)?;
    let title = format!(
        "misaligned {} of {:#x} in {place}",
        operand.access, operand.address
    );
    Some(
        conclude("misaligned-access", title, Confidence::Likely)
            .access(operand.access)
            .evidence(format!(
                "{:#x} is no multiple of {}, which this instruction needs: the processor answers with a general protection fault, hence SIGSEGV.",
                operand.address, operand.size
            ))
            .evidence(how_addressed(Some(instruction), operand)),
    )
}

/// The signal that an instruction cannot but raise, by its operands and what is mapped.
pub(super) fn fault_of(scene: &dyn Scene, instruction: &Instruction) -> Option<Signal> {
    const SIGILL: (i32, i32) = (4, 2);
    const SIGFPE_INTDIV: (i32, i32) = (8, 1);
    const SIGSEGV: i32 = 11;
    if instruction.is_trap() {
        return Some(handler::named(SIGILL.0, SIGILL.1));
    }
    if instruction.divides_by_zero(scene) {
        return Some(handler::named(SIGFPE_INTDIV.0, SIGFPE_INTDIV.1));
    }
    instruction.operands.iter().find_map(|operand| {
        let code = match scene.mapping_at(operand.address) {
            _ if !is_canonical(operand.address) => SI_KERNEL,
            None => SEGV_MAPERR,
            Some(mapping) if operand.access == "write" && !mapping.writable => SEGV_ACCERR,
            Some(mapping) if !mapping.readable => SEGV_ACCERR,
            Some(_) => return None,
        };
        let mut signal = handler::named(SIGSEGV, code);
        signal.address = (code != SI_KERNEL).then_some(Address(operand.address));
        Some(signal)
    })
}

/// A call, jump or return to what is no address: the processor faults before it goes there.
fn wild_target(scene: &dyn Scene, instruction: &Instruction, place: &str) -> Option<Cause> {
    let target = instruction
        .target(scene)
        .filter(|target| !is_canonical(*target))?;
    let (verb, from) = if instruction.returns() {
        (
            "return",
            "The return address on the stack is overwritten, or the stack pointer is wrong.",
        )
    } else {
        ("jump", "The function pointer is damaged.")
    };
    let title = format!("{verb} to non-canonical address {target:#x} in {place}");
    let cause = match freed::sign(scene, target, Some(target)) {
        Some((confidence, sign)) => conclude("freed-memory", title, confidence).evidence(sign),
        None => conclude("wild-jump", title, Confidence::Certain).evidence(from),
    };
    Some(
        cause
            .access("execute")
            .evidence(format!("`{}` leads to {target:#x}.", instruction.text)),
    )
}

fn is_canonical(address: u64) -> bool {
    let upper = address >> 47;
    upper == 0 || upper == 0x1_ffff
}

fn how_addressed(instruction: Option<&Instruction>, operand: &Operand) -> String {
    let text = instruction.map_or("", |instruction| instruction.text.as_str());
    let with = if operand.made_of.is_empty() {
        String::new()
    } else {
        format!(" with {}", operand.made_of.join(", "))
    };
    format!("`{text}`{with}.")
}
