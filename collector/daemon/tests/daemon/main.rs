//! The daemon on a real spool and store, with real worker processes. What the workers run here
//! is a shell script, so that each way to go wrong can be had.

#![allow(clippy::unwrap_used)]

mod debuginfod;
mod given;
mod intake;
mod notify;
mod retention;
mod rules;
mod workers;
