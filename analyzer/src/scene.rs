//! What the cause and signature rules may ask of a crash, apart from how it is found out.

use crate::report::{Frame, Signal};

/// One mapped range and what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// May be read.
    pub readable: bool,
    /// May be written.
    pub writable: bool,
    /// May be executed.
    pub executable: bool,
    /// File behind it, when there is one.
    pub path: Option<String>,
}

/// A function by its symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its first address.
    pub start: u64,
    /// Its size in bytes; 0 when not known.
    pub size: u64,
    /// Demangled name.
    pub name: String,
}

/// The crashed process as the rules of [`crate::cause`] and [`crate::runtime`] see it.
pub trait Scene {
    /// Architecture: `x86_64`, `aarch64`, …
    fn arch(&self) -> &str;
    /// The signal that killed the process.
    fn signal(&self) -> &Signal;
    /// The process's number as the process saw it, when the core says it.
    fn pid(&self) -> Option<i32>;
    /// Path of the executable.
    fn executable(&self) -> Option<&str>;
    /// A register of the crashed thread by its report name (`rip`, `rsp`, `rax`, `fs_base`, …).
    fn register(&self, name: &str) -> Option<u64>;
    /// The crashed thread's frames, innermost first, inlined ones included.
    fn frames(&self) -> &[Frame];
    /// Fills `buffer` from memory (core, then verified module files). False, with nothing
    /// promised about `buffer`, when any byte is absent: absent bytes are absent, not zero.
    fn read(&self, address: u64, buffer: &mut [u8]) -> bool;
    /// Every range that was mapped, in order of address.
    fn mappings(&self) -> &[Mapping];
    /// Runtime address and size of a symbol defined in a module whose file name (last path
    /// component) starts with `module_prefix` (`libc.so`, or empty for any module).
    fn symbol(&self, module_prefix: &str, name: &str) -> Option<(u64, u64)>;
    /// The function whose symbol covers an address.
    fn function(&self, address: u64) -> Option<Function>;
    /// Registers at a frame (as unwound), by report name. `rsp` is the stack pointer in that
    /// frame, so `[previous frame's rsp, this frame's rsp)` holds the callee's locals.
    fn frame_register(&self, frame_index: usize, name: &str) -> Option<u64>;
}

impl dyn Scene + '_ {
    /// A little-endian 64-bit word of memory.
    pub fn read_u64(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)
            .then(|| u64::from_le_bytes(bytes))
    }

    /// A pointer in memory, of the process's own size.
    pub fn read_pointer(&self, address: u64) -> Option<u64> {
        match self.arch() {
            "i386" | "arm" => self.read_u32(address).map(u64::from),
            _ => self.read_u64(address),
        }
    }

    /// The crashed thread's program counter.
    pub fn pc(&self) -> Option<u64> {
        let names = ["rip", "pc", "eip"];
        names.iter().find_map(|name| self.register(name))
    }

    /// The crashed thread's stack pointer.
    pub fn sp(&self) -> Option<u64> {
        let names = ["rsp", "sp", "esp"];
        names.iter().find_map(|name| self.register(name))
    }

    /// A little-endian 32-bit word of memory.
    pub fn read_u32(&self, address: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)
            .then(|| u32::from_le_bytes(bytes))
    }

    /// The mapping that holds an address.
    pub fn mapping_at(&self, address: u64) -> Option<&Mapping> {
        let after = self.mappings().partition_point(|m| m.start <= address);
        let found = self.mappings().get(after.checked_sub(1)?)?;
        (address < found.end).then_some(found)
    }
}
