//! Any report can be written for people, and holds nothing that steers a terminal.
#![no_main]

use aground_analyzer::report::Report;
use aground_analyzer::text::{TextOptions, render};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(report) = serde_json::from_slice::<Report>(bytes) else {
        return;
    };
    let all = TextOptions {
        all_threads: true,
        registers: true,
        modules: true,
        variables: true,
    };
    let text = render(&report, all);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
});
