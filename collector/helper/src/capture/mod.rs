//! Takes what is kept of a process: its memory, and the files it had mapped.

pub mod elf;
pub mod modules;
pub mod seekable;
pub mod stream;
