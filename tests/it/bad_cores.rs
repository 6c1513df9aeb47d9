//! `aground analyze` on files that are not what they should be: one clear line or a report that
//! says what is missing, never a panic and never a hang.

use aground_testkit::house::program;
use aground_testkit::run::{Outcome, run};
use aground_testkit::synthetic::{Core, NO_MACHINE};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

fn analyze(path: &Path) -> Outcome {
    run(
        program("aground"),
        &["analyze", path.to_str().unwrap(), "--format", "json"],
    )
}

fn analyze_bytes(bytes: &[u8]) -> Outcome {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("core");
    std::fs::write(&path, bytes).unwrap();
    analyze(&path)
}

#[track_caller]
fn refused(bytes: &[u8]) -> String {
    analyze_bytes(bytes).one_line_error()
}

#[test]
fn a_whole_core_gives_a_report() {
    let report: Value =
        serde_json::from_str(&analyze_bytes(&Core::default().bytes()).ok()).unwrap();
    assert_eq!(report["core"]["arch"], "x86_64");
    assert_eq!(report["core"]["truncated"], false);
    assert_eq!(report["process"]["signal"]["name"], "SIGSEGV");
    assert_eq!(report["process"]["signal"]["code_name"], "SEGV_MAPERR");
    assert_eq!(report["threads"][0]["tid"], 4711);
    assert_eq!(report["threads"][0]["registers"]["rip"], "0x401136");
    assert_eq!(report["threads"][0]["frames"][0]["pc"], "0x401136");
}

#[test]
fn what_is_not_a_core_is_refused_in_one_line() {
    refused(b"");
    refused(b"\x7fELF");
    refused(b"#!/bin/sh\necho this is no core\n");
    let executable = std::fs::read(program("aground-collect")).unwrap();
    refused(&executable);
    let unknown = refused(
        &Core {
            machine: NO_MACHINE,
            ..Core::default()
        }
        .bytes(),
    );
    assert!(
        unknown.contains("machine") || unknown.contains("architecture"),
        "{unknown}"
    );
}

#[test]
fn what_cannot_be_read_is_refused_in_one_line() {
    analyze(Path::new("/nonexistent/core")).one_line_error();
    analyze(Path::new("/")).one_line_error();
}

#[test]
fn cut_at_any_byte_it_is_refused_or_reported_as_truncated() {
    let whole = Core::default().bytes();
    let fine = (0..240).step_by(5).chain((240..1024).step_by(49));
    let coarse = (1024..whole.len()).step_by(1023);
    for length in fine.chain(coarse) {
        let outcome = analyze_bytes(&whole[..length]);
        if outcome.code == Some(0) {
            let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
            assert_eq!(
                report["core"]["truncated"], true,
                "cut at {length}: {report:#}"
            );
        } else {
            outcome.one_line_error();
        }
    }
}

/// Every field of the headers made absurd, one at a time.
#[test]
fn absurd_headers_are_refused_or_reported() {
    let whole = Core::default().bytes();
    for at in (16..64 + 2 * 56).step_by(2) {
        for absurd in [[0xff, 0xff], [0x00, 0x80]] {
            let mut bytes = whole.clone();
            bytes[at..at + 2].copy_from_slice(&absurd);
            let outcome = analyze_bytes(&bytes);
            if outcome.code != Some(0) {
                outcome.one_line_error();
            }
        }
    }
}
