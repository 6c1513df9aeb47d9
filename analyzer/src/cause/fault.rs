//! Explains SIGSEGV and SIGBUS: which address, by which instruction, and what is wrong with it.

use super::instruction::{Instruction, Operand};
use super::{Confidence, SI_KERNEL, conclude, handler, place, top};
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

/// What allocators and debuggers fill freed or fresh memory with.
const FILLS: [(u32, &str); 7] = [
    (0xdddd_dddd, "0xdd, freed memory"),
    (0xfeee_feee, "0xfeee, freed memory"),
    (0xdead_beef, "0xdeadbeef, freed memory"),
    (0x6b6b_6b6b, "0x6b, freed memory"),
    (0x5a5a_5a5a, "0x5a, freed memory (jemalloc)"),
    (0xe5e5_e5e5, "0xe5, freed memory (jemalloc, mozjemalloc)"),
    (0xcdcd_cdcd, "0xcd, memory never written"),
];

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
    let operand = instruction.and_then(|instruction| instruction.operand_at(address));
    let access = operand.map_or("access", |operand| operand.access);
    let found = classify(scene, address, access);
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

fn classify(scene: &dyn Scene, address: u64, access: &str) -> Class {
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
    if let Some(fill) = fill_pattern(address) {
        let freed = class(
            "freed-memory",
            format!("The address looks like the fill pattern {fill}."),
        );
        return Class {
            confidence: Confidence::Likely,
            ..freed
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

fn rights(mapping: &Mapping) -> String {
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
    let sp = scene.register("rsp").or_else(|| scene.register("sp"))?;
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

fn fill_pattern(address: u64) -> Option<&'static str> {
    let halves =
        [address >> 32, address & 0xffff_ffff].map(|half| u32::try_from(half).unwrap_or(0));
    let near = |half: u32, fill: u32| half.wrapping_sub(fill).wrapping_add(0x1000) < 0x2000;
    FILLS
        .iter()
        .find(|(fill, _)| halves.iter().any(|half| near(*half, *fill)))
        .map(|(_, name)| *name)
}

/// The program counter itself is where nothing can be executed.
fn wild_jump(scene: &dyn Scene, address: u64) -> Option<Cause> {
    let pc = scene.register("rip").or_else(|| scene.register("pc"))?;
    if scene
        .mapping_at(pc)
        .is_some_and(|mapping| mapping.executable)
    {
        return None;
    }
    // The frame of the wild program counter may carry the name of data it lies in.
    let callers = scene.frames().get(1..).unwrap_or_default();
    let caller = group::place(callers).unwrap_or_else(|| "an unknown place".to_owned());
    let (what, evidence) = if pc < NULL_PAGE {
        (
            "call of a null function pointer".to_owned(),
            format!("The program counter is {pc:#x}."),
        )
    } else {
        let mapped = scene
            .mapping_at(pc)
            .map_or("not mapped".to_owned(), |mapping| {
                format!("mapped {}", rights(mapping))
            });
        (
            format!("jump to {pc:#x}"),
            format!("The program counter is {pc:#x}, which is {mapped}."),
        )
    };
    let confidence = if address == pc {
        Confidence::Certain
    } else {
        Confidence::Likely
    };
    Some(
        conclude("wild-jump", format!("{what} in {caller}"), confidence)
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
        let cause = match fill_pattern(operand.address) {
            Some(fill) => conclude("freed-memory", title, Confidence::Likely)
                .evidence(format!("The address looks like the fill pattern {fill}.")),
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
    let odd = instruction.and_then(|found| {
        found
            .operands
            .iter()
            .find(|operand| operand.size >= 16 && operand.address % operand.size != 0)
    });
    if let Some(operand) = odd {
        let title = format!(
            "misaligned {} of {:#x} in {place}",
            operand.access, operand.address
        );
        return conclude("misaligned-access", title, Confidence::Likely)
            .access(operand.access)
            .evidence(how_addressed(instruction, operand));
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
    Some(
        conclude("wild-jump", title, Confidence::Certain)
            .access("execute")
            .evidence(format!("`{}` leads to {target:#x}.", instruction.text))
            .evidence(from),
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
