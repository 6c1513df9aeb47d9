//! Damages real cores and programs in thousands of ways: every one gives a report or a refusal,
//! within the limits a worker has. A panic, an abort for memory, or a hang (the test runner's
//! limit) fails the test.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

use aground_analyzer::offline::{self, OfflineRequest};
use aground_analyzer::report::Report;
use rustix::process::{Resource, Rlimit, setrlimit};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Places where a core is cut.
const CUTS: usize = 200;
/// Bits of a core that are changed, one at a time.
const FLIPS: usize = 2000;
/// Bits of a program, with its unwind tables and debug information.
const PROGRAM_FLIPS: usize = 500;
/// Headers and notes, where a changed bit matters most.
const HEAD: usize = 16 << 10;
/// Memory that an analysis may take, bytes; a worker is given more.
const MEMORY: u64 = 1 << 30;

/// A program with a core of it.
struct Crash {
    directory: TempDir,
    program: PathBuf,
    core: PathBuf,
}

impl Crash {
    fn of(source: &str, compiler: &[&str], argument: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        let core = directory.path().join("core");
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/programs")
            .join(source);
        let [name, arguments @ ..] = compiler else {
            panic!("no compiler")
        };
        run(Command::new(name)
            .args(arguments)
            .arg("-o")
            .arg(&program)
            .arg(source));
        let mut gdb = Command::new("gdb");
        gdb.args([
            "-nx",
            "-batch",
            "-iex",
            "set debuginfod enabled off",
            "-ex",
            "run",
        ]);
        gdb.arg("-ex")
            .arg(format!("generate-core-file {}", core.display()));
        gdb.arg("--args").arg(&program).arg(argument);
        run(gdb
            .env_remove("DEBUGINFOD_URLS")
            .current_dir(directory.path()));
        Self {
            directory,
            program,
            core,
        }
    }

    /// Analyses these bytes in place of the core, with these in place of the program.
    fn analyze(&self, core: Option<&[u8]>, program: Option<&[u8]>) -> Option<Report> {
        let place = |name: &str, bytes: Option<&[u8]>, whole: &Path| match bytes {
            Some(bytes) => {
                // A new file each time: the last one may still be mapped.
                let path = self.directory.path().join(name);
                let _ = fs::remove_file(&path);
                fs::write(&path, bytes).unwrap();
                path
            }
            None => whole.to_owned(),
        };
        let request = OfflineRequest {
            core: place("damaged.core", core, &self.core),
            exe: Some(place("damaged", program, &self.program)),
            sysroot: None,
            debug_dirs: Vec::new(),
        };
        offline::analyze(&request).ok()
    }

    fn check(&self) {
        let limit = Rlimit {
            current: Some(MEMORY),
            maximum: Some(MEMORY),
        };
        setrlimit(Resource::Data, limit).unwrap();
        let core = fs::read(&self.core).unwrap();
        let whole = self
            .analyze(None, None)
            .expect("a report of the whole core");
        assert!(whole.threads[0].frames.len() >= 2);
        for cut in 0..CUTS {
            let length = core.len() * cut / CUTS;
            if let Some(report) = self.analyze(Some(&core[..length]), None) {
                assert!(report.core.truncated, "cut at {length}");
            }
        }
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
        let mut reports = 0;
        for flip in 0..FLIPS {
            let range = if flip % 2 == 0 {
                HEAD.min(core.len())
            } else {
                core.len()
            };
            let damaged = flipped(&core, &mut chance, range);
            reports += usize::from(self.analyze(Some(&damaged), None).is_some());
        }
        assert!(
            reports > FLIPS / 2,
            "only {reports} of {FLIPS} were analysed"
        );
        let program = fs::read(&self.program).unwrap();
        for _ in 0..PROGRAM_FLIPS {
            let damaged = flipped(&program, &mut chance, program.len());
            let report = self.analyze(None, Some(&damaged));
            assert!(report.is_some_and(|report| !report.threads.is_empty()));
        }
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("start the program");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

/// The bytes with one bit of the first `range` changed.
fn flipped(bytes: &[u8], chance: &mut Chance, range: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let place = chance.below(range * 8);
    bytes[place / 8] ^= 1 << (place % 8);
    bytes
}

/// Numbers by xorshift (Marsaglia), the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

#[test]
fn a_damaged_core_of_c_is_reported_or_refused() {
    Crash::of("faults.c", &["gcc", "-g", "-O1", "-static"], "null-write").check();
}

#[test]
fn a_damaged_core_of_cpp_is_reported_or_refused() {
    Crash::of(
        "throws.cc",
        &["g++", "-g", "-O2", "-gz", "-static"],
        "derived",
    )
    .check();
}
