//! Finds a caller in Go code: by Go's own table of stack depths, and across the switch from a
//! thread's own stack to that of the goroutine it runs.
//!
//! `runtime.systemstack` and its kin leave the goroutine's stack for the thread's, so that on the
//! stack nothing leads back. The goroutine keeps where it was in `g.sched`; it is found as the
//! debugger of Go does, from the thread's `g` over `g.m` to `m.curg`.

use super::{CodeAddress, Space, StackFrame, Step, caller};
use crate::modules::Module;
use crate::pclntab::PcLineTable;
use crate::report::Trust;
use crate::symbols::symtab;
use std::ops::Range;

/// Functions that a thread or a goroutine begins with (`topofstack` in `src/runtime/traceback.go`).
const OUTERMOST: [&str; 4] = [
    "runtime.goexit",
    "runtime.mstart",
    "runtime.rt0_go",
    "runtime.cgocallback",
];
/// Functions that run another on the thread's stack.
const SWITCHES: [&str; 4] = [
    "runtime.systemstack",
    "runtime.mcall",
    "runtime.asmcgocall",
    "runtime.morestack",
];
/// What a goroutine on the thread's stack seems to be in.
const SWITCHED: &str = "runtime.systemstack_switch";
const R14: u16 = 14;
const FS_BASE: u16 = 58;
const WORD: u64 = 8;
/// Bytes of the thread's own memory below `fs` in which the pointer to its `g` may lie.
const THREAD_MEMORY: u64 = 256;
/// `g.m` and the first place of `g.sched`, in all versions since Go 1.5 (`src/runtime/runtime2.go`).
const G_M: u64 = 48;
const G_SCHED: u64 = 56;
/// The words of `struct m` that may be `m.curg`, which moves from version to version.
const M_CURG: Range<u64> = 16..48;

/// Functions that a signal handler makes look as if the interrupted instruction had called them
/// (`preparePanic` in `src/runtime/signal_amd64.go`, `asyncPreempt` in `src/runtime/preempt.go`):
/// their return address is that instruction and not the one after a call. One at a function's first
/// instruction would otherwise be looked up in the function before it.
const FEIGNED: [&str; 2] = ["runtime.sigpanic", "runtime.asyncPreempt"];

/// Where the functions are that interrupted instructions seem to have called.
pub(super) fn feigned_calls(space: &Space<'_>) -> Vec<Range<u64>> {
    let of_module = |module: &Module<'_>| {
        let object = module.object.as_ref()?;
        let table = PcLineTable::of(object)?;
        let place = |name: &str| {
            let by_table = || table.by_name(name).map(|found| (found.entry, found.size()));
            let (address, size) = symtab::by_name(object, name).or_else(by_table)?;
            let start = address.wrapping_add(module.bias);
            Some(start..start.saturating_add(size))
        };
        Some(
            FEIGNED
                .iter()
                .filter_map(|name| place(name))
                .collect::<Vec<_>>(),
        )
    };
    space
        .modules
        .iter()
        .filter_map(of_module)
        .flatten()
        .collect()
}

/// A frame in Go code with its table.
pub(super) struct GoFrame<'f, 'a> {
    pub(super) space: &'f Space<'a>,
    pub(super) module: &'f Module<'a>,
    pub(super) table: &'f PcLineTable<'a>,
    pub(super) frame: &'f StackFrame,
}

impl GoFrame<'_, '_> {
    fn own(&self) -> u64 {
        self.frame.address.lookup().wrapping_sub(self.module.bias)
    }

    fn name(&self) -> Option<&str> {
        self.table.find(self.own())?.name()
    }

    /// The caller by the table of stack depths. `None` for other architectures, and where the
    /// table does not know the code.
    pub(super) fn caller_by_depth(&self) -> Option<Step> {
        let arch = self.space.core.arch;
        if arch.name != "x86_64" {
            return None;
        }
        let function = self.table.find(self.own())?;
        if function
            .name()
            .is_some_and(|name| OUTERMOST.contains(&name))
        {
            return Some(Step::Outermost);
        }
        let depth = function.stack_depth(self.own())?;
        let registers = &self.frame.registers;
        let at = registers.get(arch.sp)?.checked_add(depth)?;
        let pc = self.space.read_word(at)?;
        // Neither `goexit` nor what a fault seems to return to follows a call.
        self.space.module_at(pc)?;
        if pc == 0 || self.space.is_executable(pc) == Some(false) {
            return None;
        }
        let mut found = caller(
            self.space,
            self.frame,
            pc,
            at.checked_add(WORD)?,
            Trust::Cfi,
        );
        let saved = at.checked_sub(WORD)?;
        if depth >= WORD && registers.get(arch.fp) == Some(saved) {
            found.registers.set(arch.fp, self.space.read_word(saved));
        }
        Some(Step::Caller(found))
    }

    /// The goroutine that this frame was switched from. `thread` are the registers that the thread
    /// has in the kernel.
    pub(super) fn goroutine(&self, thread: &super::Registers) -> Option<Step> {
        let arch = self.space.core.arch;
        let switches = self.name().is_some_and(|name| SWITCHES.contains(&name));
        if arch.name != "x86_64" || !switches {
            return None;
        }
        let Some([sp, pc, fp]) = self.current_goroutine(thread) else {
            // A thread that looks for work runs no goroutine.
            return (self.name() == Some("runtime.mcall")).then_some(Step::Outermost);
        };
        let own = pc.wrapping_sub(self.module.bias);
        let is_switch = self.table.find(own)?.name() == Some(SWITCHED);
        let mut found = caller(self.space, self.frame, pc, sp, Trust::Cfi);
        if is_switch {
            found.address = CodeAddress::Interrupted(pc);
        }
        for &register in arch.callee_saved {
            found.registers.set(register, None);
        }
        found.registers.set(arch.fp, Some(fp));
        Some(Step::Caller(found))
    }

    /// `sched.sp`, `sched.pc` and `sched.bp` of `m.curg`.
    fn current_goroutine(&self, thread: &super::Registers) -> Option<[u64; 3]> {
        let base = thread.get(FS_BASE).unwrap_or(0);
        let slots = (1..=THREAD_MEMORY / WORD).map(|index| base.wrapping_sub(index * WORD));
        let in_memory = slots.filter_map(|slot| self.space.read_word(slot));
        let in_registers = [thread.get(R14), self.frame.registers.get(R14)];
        let candidates = in_registers.into_iter().flatten().chain(in_memory);
        let mut known = candidates.filter(|g| self.sched(*g).is_some());
        let g = known.next()?;
        let m = self.word(g, G_M).filter(|m| *m != 0)?;
        let own_stack = self.space.read_word(m)?;
        M_CURG
            .filter_map(|index| self.word(m, index * WORD))
            .filter(|g| *g != own_stack && self.word(*g, G_M) == Some(m))
            .find_map(|g| self.stopped_at(g))
    }

    /// Where a goroutine's saved registers are: they hold a pointer to the goroutine itself.
    fn sched(&self, g: u64) -> Option<u64> {
        if g == 0 || !g.is_multiple_of(WORD) {
            return None;
        }
        (0..4)
            .map(|index| G_SCHED + index * WORD)
            .find(|at| self.word(g, at + 2 * WORD) == Some(g))
    }

    /// Its saved registers, if they lie on its stack.
    fn stopped_at(&self, g: u64) -> Option<[u64; 3]> {
        let sched = self.sched(g)?;
        let [low, high] = [self.word(g, 0)?, self.word(g, WORD)?];
        let [sp, pc] = [self.word(g, sched)?, self.word(g, sched + WORD)?];
        let on_stack = |address: &u64| (low..high).contains(address);
        if !on_stack(&sp) || self.space.is_executable(pc) == Some(false) {
            return None;
        }
        // ctxt, ret (until Go 1.24), lr, bp
        let fp = [6, 5]
            .into_iter()
            .filter_map(|index| self.word(g, sched + index * WORD))
            .find(on_stack);
        Some([sp, pc, fp.unwrap_or(0)])
    }

    fn word(&self, base: u64, offset: u64) -> Option<u64> {
        self.space.read_word(base.checked_add(offset)?)
    }
}
