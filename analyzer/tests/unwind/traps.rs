//! Stacks of one C program, which its argument makes hard to walk in one way each.

use crate::crash::{Oracle, Program};
use aground_analyzer::report::{Frame, Trust};

pub const TO_MAIN: [&str; 3] = ["middle", "outer", "main"];

/// Every way of dying, and the functions of the program from there to `middle`.
pub const WAYS: [(&str, &[&str]); 16] = [
    ("plain", &["write_to_null"]),
    ("handled", &["give_up", "<signal>", "write_to_null"]),
    ("handled-info", &["give_up", "<signal>", "write_to_null"]),
    (
        "handled-elsewhere",
        &["give_up", "<signal>", "write_to_null"],
    ),
    (
        "handled-at-once",
        &["give_up", "<signal>", "faults_at_once", "calls_it"],
    ),
    ("handled-null-call", &["give_up", "<signal>", "??", "calls"]),
    (
        "nested",
        &[
            "write_to_null",
            "second",
            "<signal>",
            "first",
            "<signal>",
            "nested_signals",
        ],
    ),
    ("at-once", &["faults_at_once", "calls_it"]),
    ("null-call", &["??", "calls"]),
    ("wild-call", &["??", "calls"]),
    ("aligned", &["write_to_null", "aligned"]),
    ("much", &["write_to_null", "much_on_the_stack"]),
    ("threads", &["write_to_null", "among_threads"]),
    ("library", &["write_to_null", "compare", "from_the_library"]),
    ("abort", &[]),
    ("no-return", &["never_returns", "ends_with_a_call"]),
];

/// Ways that depend on how the program was built.
const FEW: [&str; 7] = [
    "plain",
    "handled-elsewhere",
    "null-call",
    "aligned",
    "threads",
    "library",
    "abort",
];

/// Dies in every way, or in the few that depend on the build.
#[track_caller]
fn check(ways: &[&str], oracle: Oracle, compiler: &[&str]) {
    let program = Program::built("stacks.c", &[compiler, &["-pthread"]].concat());
    for (way, functions) in WAYS
        .iter()
        .filter(|(way, _)| ways.is_empty() || ways.contains(way))
    {
        let mut expected = functions.to_vec();
        expected.extend(TO_MAIN);
        eprintln!("{compiler:?}: {way}");
        program.crash(way).check(&expected, oracle);
    }
}

const ALL: &[&str] = &[];
/// Neither `.eh_frame` nor, without `-g`, `.debug_frame`.
const UNDESCRIBED: [&str; 3] = [
    "gcc",
    "-fno-asynchronous-unwind-tables",
    "-fno-unwind-tables",
];

fn undescribed(options: &[&'static str]) -> Vec<&'static str> {
    [&UNDESCRIBED, options].concat()
}

#[test]
fn optimized() {
    check(ALL, Oracle::Whole, &["gcc", "-g", "-O2"]);
}

#[test]
fn unoptimized() {
    check(ALL, Oracle::Whole, &["gcc", "-g", "-O0"]);
}

#[test]
fn of_clang_and_lld() {
    let separate = "-Wl,-z,separate-loadable-segments";
    check(ALL, Oracle::Whole, &["clang", "-g", "-O2", "-fuse-ld=lld"]);
    check(
        &FEW,
        Oracle::Whole,
        &["clang", "-g", "-O2", "-fuse-ld=lld", separate],
    );
}

#[test]
fn linked_in_other_ways() {
    for options in [
        &["-no-pie", "-Wl,-Ttext-segment=0x12340000"][..],
        &["-Wl,-z,noseparate-code", "-fcf-protection=full"],
        &["-static-pie", "-Wl,-z,pack-relative-relocs"],
        &["-O3", "-flto"],
    ] {
        check(
            &FEW,
            Oracle::Whole,
            &[&["gcc", "-g", "-O2"], options].concat(),
        );
    }
}

#[test]
fn statically_linked() {
    check(ALL, Oracle::Whole, &["gcc", "-g", "-O2", "-static"]);
}

#[test]
fn without_a_table_of_frame_descriptions() {
    let options = ["gcc", "-g", "-O2", "-static", "-Wl,--no-eh-frame-hdr"];
    check(ALL, Oracle::Whole, &options);
}

#[test]
fn with_realigned_stacks() {
    check(
        ALL,
        Oracle::Whole,
        &["gcc", "-g", "-O2", "-mstackrealign", "-mavx512f"],
    );
}

#[test]
fn described_by_debug_frame_only() {
    check(ALL, Oracle::Whole, &undescribed(&["-g", "-O2"]));
}

#[test]
fn described_by_frame_pointers_only() {
    check(
        ALL,
        Oracle::ToMain,
        &undescribed(&["-O1", "-fno-omit-frame-pointer"]),
    );
}

#[test]
fn described_by_nothing() {
    check(ALL, Oracle::Lost, &undescribed(&["-O2"]));
}

#[test]
fn of_musl() {
    check(ALL, Oracle::Lost, &["musl-gcc", "-g", "-O2"]);
    check(ALL, Oracle::Lost, &["musl-gcc", "-g", "-O2", "-static"]);
}

#[test]
fn of_32_bits() {
    check(ALL, Oracle::Whole, &["gcc", "-m32", "-g", "-O2"]);
    check(
        &FEW,
        Oracle::Whole,
        &["gcc", "-m32", "-g", "-O0", "-static"],
    );
    check(
        &FEW,
        Oracle::Whole,
        &[
            "gcc",
            "-m32",
            "-g",
            "-O2",
            "-mstackrealign",
            "-mincoming-stack-boundary=2",
        ],
    );
}

#[test]
fn of_32_bits_described_by_nothing() {
    let pointers = undescribed(&["-m32", "-O2", "-fno-omit-frame-pointer"]);
    check(ALL, Oracle::Lost, &pointers);
    // Nothing leads out of the seldom part of `middle`, which `abort` lies in.
    let ways = WAYS.map(|(way, _)| way).into_iter();
    let ways: Vec<&str> = ways.filter(|way| *way != "abort").collect();
    check(&ways, Oracle::Lost, &undescribed(&["-m32", "-O2"]));
}

/// Where a function's last call never returns, its instructions do not lead to its caller. What the
/// stack holds of it is no guess if the call there leads to the function.
#[test]
fn callers_of_functions_that_never_return() {
    for options in ["-O2", "-O0"] {
        let program = Program::built("stacks.c", &["musl-gcc", options, "-pthread"]);
        let report = program.crash("abort").check(&TO_MAIN, Oracle::Lost);
        let frames = &report.threads[0].frames;
        let is_main = |frame: &Frame| frame.function.as_deref() == Some("main");
        let main = frames.iter().position(is_main).unwrap();
        let guessed = |frame: &Frame| frame.trust == Trust::Scan;
        assert!(!frames[..=main].iter().any(guessed), "{frames:#?}");
    }
}
