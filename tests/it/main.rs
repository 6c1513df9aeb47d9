//! End-to-end tests: the built programs, real crashes, real containers, a real browser.
#![allow(clippy::unwrap_used, missing_docs)]

mod api_document;
mod bad_cores;
mod bad_helper_calls;
mod completion;
mod daemon_killed;
mod faults;
mod forward;
mod full_disk;
mod hanging_files;
mod operating;
mod privilege;
mod questions;
mod remote;
mod sandbox;
mod service;
mod tidy;
mod uploads;

/// Tests that set the machine's `core_pattern`: `.config/nextest.toml` runs them one at a time.
mod kernel {
    mod agreement;
    mod bad_input;
    mod buildid;
    mod bundle;
    mod causes;
    mod claim;
    mod cli_docs;
    mod context;
    mod cri;
    mod debug_files;
    mod debuginfod;
    mod docker_cli;
    mod doctor;
    mod engines;
    mod forward;
    mod grouping;
    mod groups;
    mod hanging_files;
    mod image;
    mod import;
    mod install;
    mod lean;
    mod logs;
    mod mappings;
    mod metrics;
    mod names;
    mod no_wait;
    mod outage;
    mod package;
    mod pages;
    mod policy;
    mod programs;
    mod recursion;
    mod runtimes;
    mod socket;
    mod stopped;
    mod storm;
    mod story;
    mod symbols;
    mod thin;
    mod whole;
}
