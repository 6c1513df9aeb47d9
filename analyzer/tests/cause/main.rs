//! Crashes real programs and holds the cause against what they were written to die of.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod faults;
mod languages;
mod program;
mod signals;
mod site;
mod threads;
mod words;
