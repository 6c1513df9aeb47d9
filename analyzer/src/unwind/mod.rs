//! Walks the stack of a thread, frame by frame, with all registers.
//!
//! How a frame's caller is found, in this order, each with its [`Trust`]:
//!
//! 1. a signal trampoline, known by its code: the interrupted registers from the signal frame;
//! 2. a program counter where no code is (a call through a bad pointer): the return address that
//!    the call left behind;
//! 3. call frame information: `.eh_frame` by its header's table, `.eh_frame` searched,
//!    `.debug_frame`; for Go its own table of stack depths; on 32-bit arm the exception tables in their place;
//! 4. the function's own instructions: followed to its return on x86, else its
//!    prologue;
//! 5. the frame pointer;
//! 6. the stack itself, searched for what looks like a return address: a guess, unless the call
//!    before it leads to the frame's function.
//!
//! The stack pointer may only grow from callee to caller, except out of a signal trampoline,
//! whose handler may run on another stack. This and [`FRAMES_MAX`] end every walk.

mod cfi;
mod code;
mod exidx;
mod frame_pointer;
mod go;
mod prologue;
mod scan;
mod signal;

use crate::address::CodeAddress;
use crate::arch::Registers;
use crate::modules::AT_ENTRY;
use crate::pclntab::PcLineTable;
use crate::report::Trust;
use crate::space::Space;
use cfi::Tables;
use gimli::UnwindContext;
use std::cell::OnceCell;
use std::ops::Range;

/// No stack is followed further than this.
pub const FRAMES_MAX: usize = 4096;
/// The part of a C library's `_start` that ends with its call, bytes.
const ENTRY_SIZE: u64 = 40;
/// Guesses in one stack after which the rest would be guesses about guesses.
const SCANS_MAX: usize = 16;

/// A frame of a walked stack; inlined functions share it.
#[derive(Clone, Debug)]
pub struct StackFrame {
    /// Where it is.
    pub address: CodeAddress,
    /// How it was found.
    pub trust: Trust,
    /// Whether it is the kernel's signal trampoline.
    pub trampoline: bool,
    /// Where its function begins in its module's own address space, by call frame information.
    pub entry: Option<u64>,
    /// Registers in it, as far as they are known.
    pub registers: Registers,
}

/// A walked stack.
#[derive(Clone, Debug, Default)]
pub struct Stack {
    /// Innermost first.
    pub frames: Vec<StackFrame>,
    /// Why it ends before its outermost frame.
    pub incomplete: Option<String>,
}

/// What is outside of a frame.
#[allow(clippy::large_enum_variant)] // A step lives for a moment, on the stack.
enum Step {
    /// Its caller.
    Caller(StackFrame),
    /// Nothing: the thread began here.
    Outermost,
    /// Nothing that could be found, and why.
    Lost(String),
}

/// Unwinds threads of one process; tables are read once per module.
pub struct Unwinder<'s, 'a> {
    space: &'s Space<'a>,
    tables: Vec<OnceCell<Option<Tables<'a>>>>,
    /// Where the functions of each module start, read when asked.
    starts: Vec<OnceCell<Vec<u64>>>,
    context: UnwindContext<usize>,
    instructions_left: usize,
    /// Go's tables of the modules that have one.
    lines: Vec<OnceCell<Option<PcLineTable<'a>>>>,
    /// Registers of the thread that is walked, as the kernel had them.
    thread: Registers,
    /// Whether its stack was left for a goroutine's.
    in_goroutine: bool,
    /// Functions called as if by the instruction that faulted.
    feigned: Vec<Range<u64>>,
}

impl<'s, 'a> Unwinder<'s, 'a> {
    /// An unwinder for a process.
    pub fn new(space: &'s Space<'a>) -> Self {
        let tables = space.modules.iter().map(|_| OnceCell::new()).collect();
        Unwinder {
            space,
            tables,
            starts: space.modules.iter().map(|_| OnceCell::new()).collect(),
            context: UnwindContext::new(),
            instructions_left: code::INSTRUCTIONS_OF_PROCESS,
            lines: space.modules.iter().map(|_| OnceCell::new()).collect(),
            thread: Registers::default(),
            in_goroutine: false,
            feigned: go::feigned_calls(space),
        }
    }

    /// Walks a thread's stack from its registers.
    pub fn walk(&mut self, registers: &Registers) -> Stack {
        let mut stack = Stack::default();
        let Some(pc) = registers.get(self.space.core.arch.pc) else {
            stack.incomplete = Some("the core does not hold the thread's registers".to_owned());
            return stack;
        };
        self.walk_from(StackFrame {
            address: CodeAddress::Interrupted(pc),
            trust: Trust::Context,
            trampoline: false,
            entry: None,
            registers: registers.clone(),
        })
    }

    /// Walks a stack from a frame on it.
    pub fn walk_from(&mut self, mut frame: StackFrame) -> Stack {
        let mut stack = Stack::default();
        let mut scans = 0;
        self.thread = frame.registers.clone();
        self.in_goroutine = false;
        loop {
            let step = self.step(&mut frame);
            scans += usize::from(frame.trust == Trust::Scan);
            let callee = frame.address.lookup();
            stack.frames.push(frame);
            match step {
                Step::Caller(_) if stack.frames.len() >= FRAMES_MAX => {
                    stack.incomplete = Some(format!("more than {FRAMES_MAX} frames"));
                    break;
                }
                Step::Caller(caller) if caller.trust == Trust::Scan && scans >= SCANS_MAX => {
                    stack.incomplete = Some("no unwind information, only guesses".to_owned());
                    break;
                }
                Step::Caller(caller) => frame = self.as_called(callee, caller),
                Step::Outermost => break,
                Step::Lost(reason) => {
                    stack.incomplete = Some(reason);
                    break;
                }
            }
        }
        stack
    }

    /// Finds the caller of a frame; notes on the way whether the frame is a trampoline.
    fn step(&mut self, frame: &mut StackFrame) -> Step {
        if let Some(step) = signal::caller_by_signal_frame(self.space, frame) {
            frame.trampoline = true;
            return step;
        }
        if self.space.is_executable(frame.address.pc()) == Some(false) {
            return self.caller_of_wild_pc(frame);
        }
        if let Some(step) = self.goroutine(frame) {
            return step;
        }
        if let Some(step) = self.caller_by_cfi(frame) {
            return step;
        }
        if let Some(step) = self.go_frame(frame).and_then(|go| go.caller_by_depth()) {
            return step;
        }
        if self.is_entry(frame.address.pc()) {
            return Step::Outermost;
        }
        code::caller_by_code(self.space, frame, &mut self.instructions_left)
            .or_else(|| self.caller_by_prologue(frame))
            .or_else(|| self.caller_by_stack(frame))
            .unwrap_or_else(|| self.lost(frame))
    }

    /// Whether an address lies in the few instructions where the program began, which C libraries
    /// other than glibc do not describe.
    fn is_entry(&self, pc: u64) -> bool {
        let entry = self.space.core.notes.auxiliary(AT_ENTRY);
        entry.is_some_and(|entry| (entry..=entry.saturating_add(ENTRY_SIZE)).contains(&pc))
    }

    /// The caller, with the knowledge of how it came to call.
    fn as_called(&self, callee: u64, mut caller: StackFrame) -> StackFrame {
        if self
            .feigned
            .iter()
            .any(|function| function.contains(&callee))
        {
            caller.address = CodeAddress::Interrupted(caller.address.pc());
        }
        caller
    }

    fn lost(&self, frame: &StackFrame) -> Step {
        let pc = frame.address.pc();
        Step::Lost(match self.space.module_at(pc) {
            Some(module) if module.object.is_none() => {
                format!(
                    "{} is missing, so its frames cannot be unwound",
                    module.found.path
                )
            }
            Some(module) => format!("no unwind information for {pc:#x} in {}", module.found.path),
            None => format!("{pc:#x} lies in no known module"),
        })
    }

    fn caller_by_cfi(&mut self, frame: &mut StackFrame) -> Option<Step> {
        let index = self.space.module_index(frame.address.pc())?;
        let module = self.space.modules.get(index)?;
        let tables = self
            .tables
            .get(index)?
            .get_or_init(|| Tables::of(module))
            .as_ref()?;
        tables.caller(self.space, module.bias, &mut self.context, frame)
    }

    fn go_frame<'f>(&'f self, frame: &'f StackFrame) -> Option<go::GoFrame<'f, 'a>> {
        let index = self.space.module_index(frame.address.lookup())?;
        let module = self.space.modules.get(index)?;
        let table = self
            .lines
            .get(index)?
            .get_or_init(|| PcLineTable::of(module.object.as_ref()?));
        Some(go::GoFrame {
            space: self.space,
            module,
            table: table.as_ref()?,
            frame,
        })
    }

    /// The goroutine that a Go thread runs, where the frame left its stack for the thread's.
    fn goroutine(&mut self, frame: &StackFrame) -> Option<Step> {
        if self.in_goroutine {
            return None;
        }
        let step = self.go_frame(frame)?.goroutine(&self.thread)?;
        self.in_goroutine = true;
        Some(step)
    }

    /// What architectures with a link register have where call frame information is missing.
    fn caller_by_prologue(&self, frame: &StackFrame) -> Option<Step> {
        let arch = self.space.core.arch;
        arch.link?;
        let module = self.space.module_at(frame.address.pc())?;
        let starts = self.function_starts(frame);
        let by_table = match arch.name {
            "arm" => exidx::caller_by_exidx(self.space, module, starts, frame),
            _ => None,
        };
        by_table.or_else(|| prologue::caller_by_prologue(self.space, module, starts, frame))
    }

    /// The caller by what lies on the stack. A stale frame pointer leads to some caller further
    /// out, so that it must not win over a call that leads to the frame's function.
    fn caller_by_stack(&self, frame: &StackFrame) -> Option<Step> {
        let function = self.function_of(frame);
        let by_pointer = frame_pointer::caller_by_frame_pointer(self.space, frame);
        if let Some(Step::Caller(caller)) = &by_pointer
            && scan::leads_to(self.space, caller.address.pc(), function)
        {
            return by_pointer;
        }
        let scanned = scan::scan(self.space, frame, function);
        scanned.by_call.or(by_pointer).or(scanned.nearest)
    }

    /// Where the frame's function starts, by its symbol.
    fn function_of(&self, frame: &StackFrame) -> Option<u64> {
        let address = frame.address.lookup();
        let bias = self.space.module_at(address)?.bias;
        let starts = self.function_starts(frame);
        let start = prologue::nearest_start(starts, address.wrapping_sub(bias))?;
        Some(start.wrapping_add(bias))
    }

    /// Where the functions of the frame's module start.
    fn function_starts(&self, frame: &StackFrame) -> &[u64] {
        let starts = || {
            let index = self.space.module_index(frame.address.lookup())?;
            let object = self.space.modules.get(index)?.object.as_ref()?;
            let starts = self.starts.get(index)?;
            Some(starts.get_or_init(|| prologue::function_starts(object)))
        };
        starts().map_or(&[], Vec::as_slice)
    }

    /// A call through a null or wild pointer stopped at the callee's first instruction, where
    /// the ABI says all that call frame information could say.
    fn caller_of_wild_pc(&self, frame: &StackFrame) -> Step {
        let pc = frame.address.pc();
        if let CodeAddress::Return(_) = frame.address {
            return Step::Lost(format!("the return address {pc:#x} points to no code"));
        }
        at_entry(self.space, frame)
            .filter(|caller| is_return_address(self.space, caller.address.pc()))
            .map(Step::Caller)
            .or_else(|| scan::scan(self.space, frame, None).nearest)
            .unwrap_or_else(|| Step::Lost(format!("{pc:#x} is no code, and no caller was found")))
    }
}

/// The caller of a frame that has not executed its first instruction yet.
fn at_entry(space: &Space<'_>, frame: &StackFrame) -> Option<StackFrame> {
    let arch = space.core.arch;
    let sp = frame.registers.get(arch.sp)?;
    let (pc, sp) = match arch.link {
        Some(link) => (frame.registers.get(link)?, sp),
        None => (space.read_word(sp)?, sp.checked_add(arch.word as u64)?),
    };
    let pc = code_address(space, pc);
    Some(caller(space, frame, pc, sp, Trust::Cfi))
}

/// Whether a stack may hold this as a return address: it follows a call, or a signal handler
/// returns there.
fn is_return_address(space: &Space<'_>, pc: u64) -> bool {
    space.follows_call(pc) || signal::trampoline_at(space, pc).is_some()
}

/// A caller that shares the callee-saved registers.
fn caller(space: &Space<'_>, frame: &StackFrame, pc: u64, sp: u64, trust: Trust) -> StackFrame {
    let arch = space.core.arch;
    let mut registers = Registers::default();
    for &register in arch.callee_saved {
        registers.set(register, frame.registers.get(register));
    }
    registers.set(arch.sp, Some(sp));
    registers.set(arch.pc, Some(pc));
    StackFrame {
        address: CodeAddress::Return(pc),
        trust,
        trampoline: false,
        entry: None,
        registers,
    }
}

/// What a return address says apart from where code is: aarch64 keeps a pointer authentication
/// code in its top bits, arm the instruction set in its lowest.
fn code_address(space: &Space<'_>, pc: u64) -> u64 {
    let arch = space.core.arch;
    match (arch.name, space.core.notes.code_mask) {
        ("arm", _) => pc & !1,
        ("aarch64", Some(mask)) => pc & !mask,
        // Bit 55 tells kernel addresses. Without the kernel's mask, the highest mapping tells how
        // many bits addresses have.
        ("aarch64", None) if pc >> 55 & 1 == 0 => pc & space.address_bits(),
        _ => pc,
    }
}
