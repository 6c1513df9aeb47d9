//! Takes what is kept of a process: its memory, and the files it had mapped.

pub(crate) mod auxv;
pub mod elf;
pub(crate) mod memory;
pub mod modules;
pub(crate) mod reader;
pub mod seekable;
pub mod stream;
