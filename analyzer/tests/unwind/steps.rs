//! A process that stops at any instruction: prologues, epilogues, and the procedure linkage table,
//! whose call frame information is an expression that looks at the instruction itself.

use crate::crash::{Crash, Oracle, Program, shown};
use aground_analyzer::report::{Frame, Report, Trust};
use std::fs;

/// Stops at so many instructions, from the beginning of a function on.
#[track_caller]
fn check(compiler: &[&str], argument: &str, function: &str, steps: usize) {
    let program = Program::built("stacks.c", &[compiler, &["-pthread"]].concat());
    for (step, crash) in program.steps(argument, function, steps).iter().enumerate() {
        eprintln!("{compiler:?}: {function}, step {step}");
        let report = crash.report();
        assert_eq!(report.threads[0].incomplete, None);
        crash.agrees(&report, Oracle::Whole);
    }
}

#[test]
fn every_instruction_into_a_call_by_the_linkage_table() {
    let lazy = [
        "gcc",
        "-g",
        "-O2",
        "-no-pie",
        "-Wl,-z,lazy",
        "-fcf-protection=none",
    ];
    check(&lazy, "library", "from_the_library", 30);
}

#[test]
fn every_instruction_of_a_realigned_frame() {
    let realigned = ["gcc", "-g", "-O2", "-mstackrealign", "-mavx512f"];
    check(&realigned, "aligned", "aligned", 18);
}

/// Section headers are not needed to run a program, and some packers take them away. Then nothing
/// has a name, but the stacks are the same.
#[test]
fn programs_without_section_headers() {
    for options in [&["-O2", "-no-pie"][..], &["-O2", "-static-pie"]] {
        let compiler = [&["gcc", "-pthread"], options].concat();
        let program = Program::built("stacks.c", &compiler);
        for way in ["plain", "handled", "null-call", "library", "aligned"] {
            let crash = program.crash(way);
            let whole = crash.report();
            let mut bytes = fs::read(&crash.executable).unwrap();
            // e_shoff, e_shnum, e_shstrndx
            bytes[0x28..0x30].fill(0);
            bytes[0x3c..0x40].fill(0);
            let bare = crash.core.with_extension("bare");
            fs::write(&bare, bytes).unwrap();
            let crash = Crash {
                executable: bare,
                ..crash
            };
            let report = crash.report();
            let pcs = |report: &Report| -> Vec<(u64, bool)> {
                let frames = report.threads[0].frames.iter();
                frames
                    .map(|frame| (frame.pc.0, frame.signal_trampoline))
                    .collect()
            };
            let shown = shown(&report.threads);
            assert_eq!(pcs(&report), pcs(&whole), "{options:?} {way}: {shown}");
            let by_code = |frame: &Frame| frame.trust > Trust::Cfi;
            assert!(
                !report.threads[0].frames.iter().any(by_code),
                "{options:?} {way}: {shown}"
            );
        }
    }
}
