//! The code and memory at the place of a crash, as evidence for its cause.

use super::Address;
use serde::{Deserialize, Serialize};

/// The instruction that the process died at, what is around it, and what it worked on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// What is marked in `code`: `the instruction that faulted`, …
    pub what: String,
    /// The function that `code` is of, demangled.
    pub function: Option<String>,
    /// Instructions in order of address, one of them marked. Without a symbol of the function
    /// nothing stands before that one: where instructions begin is not known backwards.
    pub code: Vec<CodeLine>,
    /// Registers that the marked instruction uses, as far as they are known.
    #[serde(default)]
    pub registers: Vec<RegisterUse>,
    /// Memory around its operands and where its registers point.
    #[serde(default)]
    pub memory: Vec<MemoryRange>,
    /// Whether memory was left out because none of this crash may be kept.
    #[serde(default)]
    pub memory_withheld: bool,
}

/// An instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeLine {
    /// Where it begins.
    pub pc: Address,
    /// Bytes from the beginning of the function, when that is known.
    pub offset: Option<u64>,
    /// Its bytes: `48 8b 07`.
    pub bytes: String,
    /// Intel syntax; `(bad)` for what is no instruction.
    pub text: String,
    /// Where a direct call or jump leads, by symbol.
    pub target: Option<String>,
    /// Whether it is the one that [`Site::what`] speaks of.
    pub marked: bool,
}

/// A register and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterUse {
    /// The part that is used: `rdi`, `ecx`.
    pub name: String,
    /// Its value.
    pub value: Address,
    /// What is at that address, for registers that are used as one.
    pub points_to: Option<String>,
}

/// A piece of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryRange {
    /// Why it is shown: `operand`, or the register that points there.
    pub what: String,
    /// The address that it is shown for.
    pub address: Address,
    /// Where `bytes` begin.
    pub start: Address,
    /// `48 8b ?? 07`: bytes that are not known are `??`. Empty when none is.
    pub bytes: String,
    /// Why no byte is known.
    #[serde(default)]
    pub absent: Option<String>,
}
