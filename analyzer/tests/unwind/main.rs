//! Walks the stacks of real crashes that unwinders are known to get wrong, and holds them against
//! gdb's, or against what the program was written to do where gdb is wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod crash;
mod go;
mod machines;
mod qemu;
mod steps;
mod traps;
