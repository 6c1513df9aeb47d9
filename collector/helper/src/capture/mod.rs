//! Takes what is kept of a process: its memory, and the files it had mapped.

pub(crate) mod auxv;
pub mod elf;
pub(crate) mod memory;
pub mod modules;
pub mod seekable;
pub mod stream;
