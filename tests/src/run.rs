//! Runs a command to its end with a time limit and says everything when it fails.

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a command left behind.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The command line, for messages.
    pub command: String,
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, lossily decoded.
    pub stdout: String,
    /// Standard error, lossily decoded.
    pub stderr: String,
    /// Standard output as it came.
    pub bytes: Vec<u8>,
}

impl Outcome {
    /// Standard output of a command that had to succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(
            self.code,
            Some(0),
            "{} failed\nstdout: {}\nstderr: {}",
            self.command,
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    /// Standard error of a command that had to fail with one clear line.
    #[track_caller]
    pub fn one_line_error(self) -> String {
        let code = self
            .code
            .unwrap_or_else(|| panic!("{} was killed: {}", self.command, self.stderr));
        assert_ne!(code, 0, "{} succeeded: {}", self.command, self.stdout);
        assert_ne!(code, 101, "{} panicked: {}", self.command, self.stderr);
        assert!(
            !self.stderr.contains("panicked"),
            "{}: {}",
            self.command,
            self.stderr
        );
        assert_eq!(
            self.stderr.trim_end().lines().count(),
            1,
            "{} does not say one line: {}",
            self.command,
            self.stderr
        );
        self.stderr.trim_end().to_owned()
    }
}

/// How long any command of a test may take.
pub const LIMIT: Duration = Duration::from_mins(2);

/// Runs a program with arguments.
#[track_caller]
pub fn run<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, arguments: &[S]) -> Outcome {
    let mut command = Command::new(program);
    command.args(arguments);
    finish(&mut command)
}

/// Runs a command to its end; nothing is read from standard input unless the caller set it.
#[track_caller]
pub fn finish(command: &mut Command) -> Outcome {
    finish_within(LIMIT, command)
}

/// The same for what may take longer.
#[track_caller]
pub fn finish_within(limit: Duration, command: &mut Command) -> Outcome {
    let shown = format!("{command:?}");
    let out = tempfile::tempfile().expect("temporary file");
    let err = tempfile::tempfile().expect("temporary file");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone().expect("clone"))
        .stderr(err.try_clone().expect("clone"))
        .spawn()
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().expect("wait") {
            break status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            panic!(
                "{shown} hung for {limit:?}: {}",
                String::from_utf8_lossy(&read_all(err))
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let bytes = read_all(out);
    Outcome {
        command: shown,
        code: status.code(),
        stdout: String::from_utf8_lossy(&bytes).into_owned(),
        stderr: String::from_utf8_lossy(&read_all(err)).into_owned(),
        bytes,
    }
}

fn read_all(mut file: std::fs::File) -> Vec<u8> {
    use std::io::{Read, Seek};
    let mut bytes = Vec::new();
    file.rewind()
        .and_then(|()| file.read_to_end(&mut bytes))
        .expect("read back");
    bytes
}

/// Asks until the answer is there; panics with the last "not yet" after the limit.
#[track_caller]
pub fn eventually<T>(limit: Duration, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + limit;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(why) if Instant::now() > end => panic!("not within {limit:?}: {why}"),
            Err(_) => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
