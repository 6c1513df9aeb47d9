//! Crashes real programs and holds the cause against what they were written to die of.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use aground_analyzer::offline::{self, OfflineRequest};
use aground_analyzer::report::{Cause, Report};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A compiled program and a place for its cores.
struct Program {
    directory: TempDir,
    executable: PathBuf,
}

impl Program {
    fn built(source: &str, compiler: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let executable = directory.path().join("program");
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/programs")
            .join(source);
        let [name, arguments @ ..] = compiler else {
            panic!("no compiler")
        };
        let mut build = Command::new(name);
        build.args(arguments).arg("-o").arg(&executable).arg(source);
        build
            .env("GO111MODULE", "off")
            .env("GOCACHE", directory.path().join("go"));
        run(&mut build);
        Self {
            directory,
            executable,
        }
    }

    /// The report of a run with one argument. gdb writes the core, so that the machine's
    /// `core_pattern` is neither needed nor touched.
    fn report(&self, argument: &str) -> Report {
        let core = self.directory.path().join(format!("core.{argument}"));
        let mut gdb = Command::new("gdb");
        gdb.args(["-nx", "-batch", "-iex", "set debuginfod enabled off"]);
        gdb.args(["-ex", "handle SIGURG nostop noprint pass"]);
        if argument.starts_with("handled") {
            gdb.args(["-ex", "handle SIGSEGV nostop noprint pass"]);
        }
        gdb.args(["-ex", "run"]);
        // A Go panic starts as a fault that the run time turns into its own signal.
        if argument == "nil" {
            gdb.args(["-ex", "signal SIGSEGV"]);
        }
        gdb.arg("-ex")
            .arg(format!("generate-core-file {}", core.display()));
        gdb.arg("--args").arg(&self.executable).arg(argument);
        gdb.env("GOTRACEBACK", "crash")
            .env_remove("DEBUGINFOD_URLS")
            .current_dir(self.directory.path());
        run(&mut gdb);
        let request = OfflineRequest {
            core,
            exe: Some(self.executable.clone()),
            sysroot: None,
            debug_dirs: Vec::new(),
        };
        offline::analyze(&request).expect("a report")
    }

    #[track_caller]
    fn check(&self, argument: &str, kind: &str, title: &str) -> Cause {
        let report = self.report(argument);
        let cause = report.cause;
        let shown = format!("{argument}: {cause:#?}");
        assert_eq!(cause.kind, kind, "{shown}");
        assert!(glob(title, &cause.title), "{title} expected, {shown}");
        assert_ne!(report.signature.kind, "facts", "{shown}");
        cause
    }
}

/// `*` stands for an address or a number.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => text.starts_with(start) && text.ends_with(end),
        None => pattern == text,
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("start the program");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn faults_of_c() {
    let program = Program::built("faults.c", &["gcc", "-g", "-O1", "-fstack-protector-all"]);
    let check = |argument, kind, title| program.check(argument, kind, title);

    let null = check("null-write", "null-dereference", "write to 0x0 in store");
    assert_eq!(null.instruction.as_deref(), Some("mov dword ptr [rdi], 1"));
    assert_eq!(
        (null.access.as_deref(), null.confidence.as_str()),
        (Some("write"), "certain")
    );
    assert!(
        null.evidence.iter().any(|line| line.contains("rdi = 0x0")),
        "{null:?}"
    );

    check("null-member", "null-dereference", "read of 0x8 in total");
    check("near-null", "near-null-access", "read of 0x8000 in follow");
    check(
        "invalid",
        "invalid-address",
        "read of 0x123456789000 in follow",
    );
    check(
        "non-canonical",
        "non-canonical-address",
        "read of non-canonical address 0x4141414141414141 in follow",
    );
    check(
        "read-only",
        "permission-violation",
        "write to * in overwrite",
    );
    check(
        "null-call",
        "wild-jump",
        "call of a null function pointer in *",
    );
    check(
        "recursion",
        "stack-overflow",
        "stack overflow: * in descend",
    );
    check(
        "division",
        "division-by-zero",
        "division by zero in average",
    );
    check(
        "trap",
        "compiler-trap",
        "trap placed by the compiler in unreachable",
    );
    check("cut-file", "truncated-mapping", "read of * in read_mapped");

    let asserted = check(
        "assertion",
        "assertion",
        "assertion 'items == 77' failed in check",
    );
    assert!(
        asserted
            .message
            .unwrap()
            .contains("Assertion `items == 77' failed")
    );
    check("abort", "abort", "abort in give_up");
    check(
        "smash",
        "stack-smashing",
        "stack smashing detected in copy_name",
    );
    check(
        "double-free",
        "heap-corruption",
        "free(): double free detected in tcache 2 in release_twice",
    );
    let killed = check(
        "killed",
        "killed-by",
        "SIGSEGV sent by process * while in be_killed",
    );
    assert_eq!(killed.instruction, None);
    check(
        "raised",
        "raised",
        "SIGSEGV raised by the program itself in raise_it",
    );
    check(
        "damaged-call",
        "wild-jump",
        "jump to non-canonical address 0x4141414141414140 in call_back",
    );
}

#[test]
fn faults_behind_handlers() {
    let program = Program::built("faults.c", &["gcc", "-g", "-O1"]);
    let handled = program.report("handled-null");
    assert_eq!(handled.process.signal.name, "SIGABRT");
    assert_eq!(handled.cause.title, "write to 0x0 in store");
    let plain = program.report("null-write");
    assert_eq!(handled.signature.hash, plain.signature.hash);
    program.check(
        "handled-recursion",
        "stack-overflow",
        "stack overflow: * in descend",
    );
}

#[test]
fn static_programs_keep_their_words() {
    let program = Program::built("faults.c", &["gcc", "-g", "-O1", "-static"]);
    program.check(
        "assertion",
        "assertion",
        "assertion 'items == 77' failed in check",
    );
}

#[test]
fn signatures_survive_the_build() {
    let signature = |options: &[&str], argument| {
        let compiler = [&["gcc", "-g", "-fstack-protector-all"], options].concat();
        let report = Program::built("faults.c", &compiler).report(argument);
        (report.signature.hash, report.signature.title)
    };
    for argument in ["null-member", "assertion", "double-free"] {
        let one = signature(&["-O1"], argument);
        let moved = signature(&["-O1", "-no-pie", "-static", "-DMOVED"], argument);
        assert_eq!(one, moved, "{argument}");
    }
}

#[test]
fn exceptions_of_cpp() {
    let program = Program::built("throws.cc", &["g++", "-g", "-O1"]);
    program.check(
        "derived",
        "uncaught-exception",
        "uncaught CardDeclined \"card 7 was declined by the bank\" in charge",
    );
    let number = program.check(
        "number",
        "uncaught-exception",
        "uncaught int in throw_number",
    );
    assert_eq!(number.message.as_deref(), Some("int"));
    program.check(
        "library",
        "uncaught-exception",
        "uncaught std::out_of_range \"basic_string::at: * in main",
    );
    let terminated = program.check("terminate", "uncaught-exception", "* in give_up");
    assert_eq!(terminated.confidence, "likely", "nothing was in flight");
    program.check(
        "pure",
        "pure-virtual-call",
        "call of a pure virtual function in Shape::draw_later",
    );
}

#[test]
fn panics_of_rust() {
    let program = Program::built(
        "panics.rs",
        &["rustc", "-g", "-Cpanic=abort", "-Copt-level=1"],
    );
    let index = program.check(
        "index",
        "panic",
        "panic \"index out of bounds: the len is 3 but the index is 7\" in panics::pick",
    );
    assert!(
        index
            .evidence
            .iter()
            .any(|line| line.contains("panics.rs:5:5")),
        "{index:?}"
    );
    program.check(
        "unwrap",
        "panic",
        "panic \"called `Option::unwrap()` on a `None` value\" in panics::first_of_none",
    );
    program.check(
        "expect",
        "panic",
        "panic \"the configuration must exist: * in panics::configure",
    );
}

#[test]
fn panics_of_go() {
    let program = Program::built("panics.go", &["go", "build"]);
    program.check("nil", "panic", "panic \"runtime error: invalid memory address or nil pointer dereference\" in main.totalOf");
    program.check(
        "index",
        "panic",
        "panic \"runtime error: index out of range [2] with length 0\" in main.itemAt",
    );
    program.check(
        "text",
        "panic",
        "panic \"the configuration is empty\" in main.main",
    );
    program.check(
        "error",
        "panic",
        "panic \"order 7 is missing\" in main.find",
    );
    let number = program.check("number", "panic", "panic in main.main");
    assert!(
        number.evidence.iter().any(|line| line.contains("type int")),
        "{number:?}"
    );
    program.check(
        "deadlock",
        "panic",
        "panic \"fatal error: all goroutines are asleep - deadlock!\" in *",
    );
}
