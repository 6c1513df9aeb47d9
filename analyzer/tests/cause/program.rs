//! Builds programs, and crashes them below gdb, which writes the core: the machine's
//! `core_pattern` is neither needed nor touched.

use aground_analyzer::offline::{self, OfflineRequest};
use aground_analyzer::report::{Cause, Report};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A compiled program and a place for its cores.
pub struct Program {
    directory: TempDir,
    executable: PathBuf,
}

impl Program {
    /// Of a source in `tests/programs`, by a compiler and its options.
    pub fn built(source: &str, compiler: &[&str]) -> Self {
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
        finish(&mut build);
        Self {
            directory,
            executable,
        }
    }

    /// What a file holds that the program wrote where it ran.
    pub fn written(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap()
    }

    /// The report of a run with one argument.
    pub fn report(&self, argument: &str) -> Report {
        self.report_with(argument, &[], &[])
    }

    /// The report of a run with one argument; gdb hands the named signals on to the program.
    pub fn report_with(
        &self,
        argument: &str,
        handed_on: &[&str],
        environment: &[(&str, &str)],
    ) -> Report {
        let core = self.directory.path().join(format!("core.{argument}"));
        let mut gdb = Command::new("gdb");
        gdb.args(["-nx", "-batch", "-iex", "set debuginfod enabled off"]);
        for signal in ["SIGURG"].iter().chain(handed_on) {
            gdb.args(["-ex", &format!("handle {signal} nostop noprint pass")]);
        }
        gdb.args(["-ex", "run"]);
        gdb.arg("-ex")
            .arg(format!("generate-core-file {}", core.display()));
        gdb.arg("--args").arg(&self.executable).arg(argument);
        gdb.env("GOTRACEBACK", "crash")
            .env_remove("DEBUGINFOD_URLS")
            .envs(environment.iter().copied())
            .current_dir(self.directory.path());
        finish(&mut gdb);
        let request = OfflineRequest {
            core,
            exe: Some(self.executable.clone()),
            sysroot: None,
            debug_dirs: Vec::new(),
        };
        offline::analyze(&request).expect("a report")
    }

    /// The cause of a run, which must be of a kind and have a title.
    #[track_caller]
    pub fn check(&self, argument: &str, kind: &str, title: &str) -> Cause {
        self.check_with(argument, &[], kind, title)
    }

    /// As [`Program::check`], with signals handed on.
    #[track_caller]
    pub fn check_with(&self, argument: &str, handed_on: &[&str], kind: &str, title: &str) -> Cause {
        expect(self.report_with(argument, handed_on, &[]), kind, title)
    }
}

/// The cause of a report, which must be of a kind and have a title.
#[track_caller]
pub fn expect(report: Report, kind: &str, title: &str) -> Cause {
    let cause = report.cause;
    assert_eq!(cause.kind, kind, "{cause:#?}");
    assert!(
        glob(title, &cause.title),
        "{title} expected, not {cause:#?}"
    );
    assert_ne!(report.signature.kind, "facts", "{cause:#?}");
    cause
}

/// A sentence of the evidence must hold these words.
#[track_caller]
pub fn because(cause: &Cause, words: &str) {
    let said = cause
        .evidence
        .iter()
        .any(|line| glob(&format!("*{words}*"), line));
    assert!(said, "{words} expected, not {cause:#?}");
}

/// `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            (0..=text.len())
                .filter(|at| text.is_char_boundary(*at))
                .any(|at| glob(rest, &text[at..]))
        }),
    }
}

fn finish(command: &mut Command) {
    let output = command.output().expect("start the program");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
