//! Describes what differs between architectures, as data: registers, note layouts, trampolines.
//!
//! Each architecture is one file with the same shape. Registers are numbered as in DWARF, so
//! that call frame information applies to them directly. The architecture of the machine that
//! runs the analysis does not matter.

mod aarch64;
mod arm;
mod i386;
mod registers;
mod riscv64;
mod x86_64;

pub use registers::Registers;

/// Numbers above those of any DWARF table here, for registers that DWARF does not number.
pub(crate) const ORIGINAL_ACCUMULATOR: u16 = 62;
pub(crate) const PROCESSOR_STATE: u16 = 61;
/// A word that holds no register of interest.
pub(crate) const SKIPPED: u16 = u16::MAX;

/// Everything the analysis must know about an architecture.
#[derive(Debug)]
pub struct Arch {
    /// As the report calls it.
    pub name: &'static str,
    /// `e_machine` in the ELF header.
    pub machine: u16,
    /// Bytes in a word.
    pub word: usize,
    /// Program counter.
    pub pc: u16,
    /// Stack pointer.
    pub sp: u16,
    /// Frame pointer.
    pub fp: u16,
    /// Link register: where a call leaves the return address, when not on the stack.
    pub link: Option<u16>,
    /// Registers that a function must preserve, beside the stack pointer.
    pub callee_saved: &'static [u16],
    /// Where the caller's frame pointer is saved, and behind it the return address, from what the
    /// frame pointer points at.
    pub frame_record: i64,
    /// Names as the report gives them.
    pub names: &'static [(u16, &'static str)],
    /// The DWARF number of each word of `NT_PRSTATUS`'s `pr_reg`, in its order.
    pub prstatus: &'static [u16],
    /// Offset of `pr_pid` in `NT_PRSTATUS`.
    pub prstatus_pid: usize,
    /// Offset of `pr_reg` in `NT_PRSTATUS`.
    pub prstatus_registers: usize,
    /// Ways to return from a signal handler.
    pub trampolines: &'static [Trampoline],
    /// DWARF numbers of the words of `struct sigcontext`, in order; [`SKIPPED`] for others.
    pub signal_context: &'static [u16],
    /// Highest address a user process can have, plus one.
    pub user_space_end: u64,
    /// Whether the code before a return address is a call, as far as can be told from its bytes,
    /// which end just before the return address.
    pub ends_in_call: fn(&[u8]) -> bool,
}

/// Code that returns from a signal handler, and where it finds the interrupted registers.
#[derive(Debug)]
pub struct Trampoline {
    /// The code; a handler returns to its first byte.
    pub code: &'static [u8],
    /// Offset of `struct sigcontext`'s registers from the stack pointer.
    pub registers: u64,
}

impl Arch {
    /// The architecture of an ELF file, by `e_machine`.
    pub fn by_machine(machine: u16) -> Option<&'static Arch> {
        let known = [
            &x86_64::X86_64,
            &aarch64::AARCH64,
            &i386::I386,
            &arm::ARM,
            &riscv64::RISCV64,
        ];
        known.into_iter().find(|a| a.machine == machine)
    }

    /// The DWARF number of a register, by its report name.
    pub fn register_number(&self, name: &str) -> Option<u16> {
        self.names
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(number, _)| *number)
    }

    /// How many bytes [`ends_in_call`](Arch::ends_in_call) wants to see at most.
    pub const CALL_BYTES: usize = 7;
}
