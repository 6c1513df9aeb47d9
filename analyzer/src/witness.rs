//! Answers what the cause rules ask about the crash: the [`Scene`] over a real core.

use crate::report::{Frame, ProcessFacts, Signal, Thread};
use crate::scene::{Function, Mapping, Scene};
use crate::space::Space;
use crate::symbols::Symbols;
use crate::unwind::{Stack, StackFrame};

/// The crash as it was found.
pub struct Witness<'w, 's, 'a> {
    space: &'w Space<'a>,
    symbols: &'w Symbols<'s, 'a>,
    process: &'w ProcessFacts,
    frames: &'w [Frame],
    stack: Option<&'w Stack>,
    /// Index into `stack` of each of `frames`.
    physical: Vec<Option<usize>>,
    mappings: Vec<Mapping>,
}

impl<'w, 's, 'a> Witness<'w, 's, 'a> {
    /// Joins what the analysis found; `crashed` is the thread of the first of `stacks`.
    pub fn new(
        space: &'w Space<'a>,
        symbols: &'w Symbols<'s, 'a>,
        process: &'w ProcessFacts,
        crashed: Option<&'w Thread>,
        stacks: &'w [Stack],
    ) -> Self {
        let frames = crashed.map_or(&[][..], |thread| &thread.frames);
        let stack = stacks.first();
        Witness {
            space,
            symbols,
            process,
            frames,
            stack,
            physical: physical_frames(frames, stack.map_or(&[], |stack| &stack.frames)),
            mappings: space.mappings(),
        }
    }

    fn register_of(&self, physical: usize, name: &str) -> Option<u64> {
        let number = self.space.core.arch.register_number(name)?;
        self.stack?.frames.get(physical)?.registers.get(number)
    }
}

/// Which walked frame each frame belongs to: an inlined one to the physical one after it, which has
/// the same pc; one that a tail call left out to none.
fn physical_frames(frames: &[Frame], stack: &[StackFrame]) -> Vec<Option<usize>> {
    let mut next = 0;
    let place = |frame: &Frame| {
        let walked = stack
            .get(next)
            .filter(|walked| walked.address.pc() == frame.pc.0)
            .map(|_| next);
        next += usize::from(walked.is_some() && !frame.inline);
        walked
    };
    frames.iter().map(place).collect()
}

impl Scene for Witness<'_, '_, '_> {
    fn arch(&self) -> &str {
        self.space.core.arch.name
    }

    fn signal(&self) -> &Signal {
        &self.process.signal
    }

    fn pid(&self) -> Option<i32> {
        let psinfo = self.space.core.notes.psinfo.as_ref()?;
        Some(psinfo.pid).filter(|pid| *pid > 0)
    }

    fn executable(&self) -> Option<&str> {
        self.process.executable.as_deref()
    }

    fn register(&self, name: &str) -> Option<u64> {
        self.register_of(0, name)
    }

    fn frames(&self) -> &[Frame] {
        self.frames
    }

    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        self.space.read(address, buffer)
    }

    fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    fn symbol(&self, module_prefix: &str, name: &str) -> Option<(u64, u64)> {
        self.symbols.by_name(module_prefix, name)
    }

    fn function(&self, address: u64) -> Option<Function> {
        self.symbols.function(address)
    }

    fn frame_register(&self, frame_index: usize, name: &str) -> Option<u64> {
        let physical = *self.physical.get(frame_index)?;
        self.register_of(physical?, name)
    }
}
