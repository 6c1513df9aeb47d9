//! Takes what is kept of a process: its memory, and the files it had mapped.

pub(crate) mod auxv;
pub mod debug_files;
pub(crate) mod direct;
pub mod elf;
pub mod lean;
pub mod live;
pub(crate) mod memory;
pub mod modules;
pub(crate) mod notes;
pub(crate) mod reader;
pub mod seekable;
pub mod stored;
pub mod stream;
