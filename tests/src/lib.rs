//! Holds what end-to-end tests share: real containers, real crashes, a real browser.
//!
//! Depends on nothing of Aground's own: it starts the programs that were built and reads what
//! they print and serve, so that a change of a type cannot change what a test expects.

pub mod browser;
pub mod core_pattern;
pub mod cut;
pub mod debuginfod;
pub mod docker;
pub mod engines;
pub mod fuse;
pub mod gdb;
pub mod handler;
pub mod helper;
pub mod house;
pub mod http;
pub mod journal;
pub mod listener;
pub mod programs;
pub mod run;
pub mod site;
pub mod small_disk;
pub mod synthetic;
pub mod systemd_coredump;
pub mod visitor;
