//! Keeps apart the two kinds of program counter, which are looked up differently.
//!
//! A return address names the instruction *after* the call, which may belong to the next line,
//! the next inlined function, or (after a call that never returns) the next function. It is
//! therefore looked up one byte earlier. The program counter of an interrupted frame (the
//! innermost one, and the one a signal interrupted) names the very instruction.

/// A program counter and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodeAddress {
    /// The instruction that was about to run.
    Interrupted(u64),
    /// The instruction after a call.
    Return(u64),
}

impl CodeAddress {
    /// The program counter itself, as it is shown.
    pub fn pc(self) -> u64 {
        match self {
            CodeAddress::Interrupted(pc) | CodeAddress::Return(pc) => pc,
        }
    }

    /// An address inside the instruction this frame is at: what tables are searched for.
    pub fn lookup(self) -> u64 {
        match self {
            CodeAddress::Interrupted(pc) => pc,
            CodeAddress::Return(pc) => pc.saturating_sub(1),
        }
    }
}
