//! Programs of other machines, run by `qemu-user`, and cores of them.

use crate::crash::{Crash, run, source_path};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A machine: how programs for it are built and run.
pub struct Machine {
    /// The compiler.
    pub compiler: &'static str,
    /// The emulator, with options.
    pub emulator: &'static [&'static str],
    /// The C library's directory.
    pub sysroot: &'static str,
    /// Whether the emulator writes cores of its guests by itself.
    pub writes_cores: bool,
}

/// A compiled program of another machine.
pub struct Guest {
    machine: &'static Machine,
    directory: TempDir,
    executable: PathBuf,
}

impl Guest {
    /// Compiles a source file of `tests/programs`.
    #[track_caller]
    pub fn built(machine: &'static Machine, source: &str, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let executable = directory.path().join("program");
        let mut build = Command::new(machine.compiler);
        build.arg("-o").arg(&executable).arg(source_path(source));
        run(build.args(options).arg("-pthread"));
        Guest {
            machine,
            directory,
            executable,
        }
    }

    /// Dies with one argument.
    #[track_caller]
    pub fn crash(&self, argument: &str) -> Crash {
        let core = if self.machine.writes_cores {
            self.die(argument)
        } else {
            self.stop(argument)
        };
        Crash {
            core,
            executable: self.executable.clone(),
            sysroot: Some(PathBuf::from(self.machine.sysroot)),
        }
    }

    fn emulator(&self) -> Vec<&str> {
        let library = ["-L", self.machine.sysroot];
        [self.machine.emulator, &library].concat()
    }

    /// The emulator writes the guest's core and then kills itself by the same signal, which whoever
    /// is the machine's `core_pattern` would hear of; so gdb ends it before.
    #[track_caller]
    fn die(&self, argument: &str) -> PathBuf {
        let place = self.directory.path().join(argument);
        fs::create_dir(&place).unwrap();
        let mut gdb = Command::new("prlimit");
        gdb.args(["--core=unlimited", "gdb", "-nx", "-batch"]);
        for command in [
            "set debuginfod enabled off",
            "handle all nostop noprint pass",
            "catch syscall kill",
            "run",
            "kill",
        ] {
            gdb.args(["-ex", command]);
        }
        gdb.arg("--args").args(self.emulator());
        gdb.arg(&self.executable).arg(argument);
        let said = run(gdb.env_remove("DEBUGINFOD_URLS").current_dir(&place));
        let found = fs::read_dir(&place).unwrap();
        let mut paths = found.map(|entry| entry.unwrap().path());
        let is_core = |path: &PathBuf| path.extension().is_some_and(|end| end == "core");
        let core = paths.find(is_core);
        core.unwrap_or_else(|| panic!("{argument}: the emulator wrote no core\n{said}"))
    }

    /// Stops where it would die, under the emulator's debugger, and writes a core from outside.
    fn stop(&self, argument: &str) -> PathBuf {
        let core = self.directory.path().join(format!("{argument}.core"));
        let socket = self.directory.path().join(format!("{argument}.sock"));
        let [emulator, options @ ..] = &self.emulator()[..] else {
            panic!("no emulator")
        };
        let mut guest = Command::new(emulator);
        guest
            .args(options)
            .arg("-g")
            .arg(&socket)
            .arg(&self.executable);
        let guest = guest
            .arg(argument)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let guest = Stopped(guest.spawn().expect("start the emulator"));
        wait_for(&socket);
        let mut gdb = Command::new("gdb-multiarch");
        gdb.args(["-nx", "-batch", "-iex", "set debuginfod enabled off"]);
        gdb.args(["-iex", &format!("set sysroot {}", self.machine.sysroot)]);
        gdb.args(["-ex", &format!("target remote {}", socket.display())]);
        if argument.starts_with("handled") || argument == "nested" {
            let signals = "SIGILL SIGBUS SIGUSR1 SIGUSR2";
            gdb.args(["-ex", &format!("handle {signals} nostop noprint pass")]);
        }
        if argument.starts_with("handled") {
            gdb.args(["-ex", "handle SIGSEGV nostop noprint pass"]);
        }
        gdb.args(["-ex", "continue"]);
        let (pid, core_path) = (guest.0.id(), core.display());
        gdb.args([
            "-ex",
            &format!("python guest_pid, guest_core, guest_signal = {pid}, '{core_path}', 11"),
        ]);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/unwind/dump_guest.py");
        gdb.args(["-ex", &format!("source {}", script.display())]);
        let said = run(gdb.arg(&self.executable).env_remove("DEBUGINFOD_URLS"));
        assert!(core.exists(), "{argument}: no core\n{said}");
        core
    }
}

/// An emulator, which ends with this.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn wait_for(socket: &Path) {
    for _ in 0..500 {
        if socket.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the emulator does not listen");
}
