//! Answers what the cause rules ask about the crash: the [`Scene`] over a real core.

use crate::report::{Frame, ProcessFacts, Signal, Thread};
use crate::scene::{Mapping, Scene};
use crate::space::Space;
use crate::symbols::Symbols;
use crate::unwind::Stack;

/// The crash as it was found.
pub struct Witness<'w, 's, 'a> {
    space: &'w Space<'a>,
    symbols: &'w Symbols<'s, 'a>,
    process: &'w ProcessFacts,
    frames: &'w [Frame],
    stack: Option<&'w Stack>,
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
        Witness {
            space,
            symbols,
            process,
            frames,
            stack: stacks.first(),
            mappings: space.mappings(),
        }
    }

    fn register_of(&self, physical: usize, name: &str) -> Option<u64> {
        let number = self.space.core.arch.register_number(name)?;
        self.stack?.frames.get(physical)?.registers.get(number)
    }
}

impl Scene for Witness<'_, '_, '_> {
    fn arch(&self) -> &str {
        self.space.core.arch.name
    }

    fn signal(&self) -> &Signal {
        &self.process.signal
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

    fn frame_register(&self, frame_index: usize, name: &str) -> Option<u64> {
        // An inlined frame shares the registers of the physical frame after it.
        let before = self.frames.get(..frame_index)?;
        self.frames.get(frame_index)?;
        self.register_of(before.iter().filter(|frame| !frame.inline).count(), name)
    }
}
