//! The real systemd-coredump, also where systemd is not process 1.

use crate::run::{eventually, finish};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Its program.
const PROGRAM: &str = "/lib/systemd/systemd-coredump";
/// Its `core_pattern`, as its package sets it.
pub const PATTERN: &str = "|/lib/systemd/systemd-coredump %P %u %g %s %t 9223372036854775808 %h";
/// Where the kernel's side of it hands crashes over to the other.
const SOCKET: &str = "/run/systemd/coredump";
const CORES: &str = "/var/lib/systemd/coredump";

/// The side that stores; ends with the test. The caller has claimed `core_pattern`, so that there is
/// one at a time.
pub struct SystemdCoredump {
    listener: Option<Child>,
}

impl SystemdCoredump {
    /// Starts it, unless systemd does that.
    #[track_caller]
    pub fn start() -> Self {
        assert!(
            Path::new(PROGRAM).exists(),
            "apt-get install systemd-coredump"
        );
        if Path::new("/run/systemd/system").exists() {
            return Self { listener: None };
        }
        fs::create_dir_all("/run/systemd").expect("make /run/systemd");
        fs::create_dir_all(CORES).expect("make its directory");
        let _ = fs::remove_file(SOCKET);
        let listener = Command::new("systemd-socket-activate")
            .args(["--seqpacket", "--accept", "--listen", SOCKET, PROGRAM])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let started = Self {
            listener: Some(listener.expect("start systemd-socket-activate")),
        };
        eventually(Duration::from_secs(10), || {
            let there = Path::new(SOCKET).exists();
            there.then_some(()).ok_or("it does not listen".to_owned())
        });
        started
    }

    /// Waits for the core of a process, and returns it and what is told of it beside.
    #[track_caller]
    pub fn core_of(&self, pid: u64) -> (Vec<u8>, String) {
        let part = format!(".{pid}.");
        let file = core_where(|path| path.to_string_lossy().contains(&part));
        let core = finish(Command::new("zstd").arg("-dcq").arg(&file));
        let facts = attributes(&file);
        fs::remove_file(file).expect("remove the core");
        (core.bytes, facts)
    }

    /// Waits for the core of a program, and moves it with its attributes into a new directory.
    /// Returns the file's name.
    #[track_caller]
    pub fn take_core(&self, program: &str, directory: &Path) -> String {
        let fact = format!("user.coredump.exe=\"{program}\"");
        let file = core_where(|path| attributes(path).contains(&fact));
        fs::create_dir(directory).expect("make a directory");
        finish(Command::new("mv").arg(&file).arg(directory)).ok();
        let name = file.file_name().expect("a name").to_string_lossy();
        name.into_owned()
    }
}

/// Waits for a core that lies there.
#[track_caller]
fn core_where(is: impl Fn(&PathBuf) -> bool) -> PathBuf {
    eventually(Duration::from_secs(30), || {
        let entries = fs::read_dir(CORES).map_err(|error| error.to_string())?;
        let names = entries.map(|entry| entry.expect("an entry").path());
        let mut cores = names.filter(|path| path.to_string_lossy().contains("/core."));
        cores.find(&is).ok_or("no core".to_owned())
    })
}

/// What is told of a core beside it.
fn attributes(file: &Path) -> String {
    let mut getfattr = Command::new("getfattr");
    finish(getfattr.args(["-d", "--absolute-names"]).arg(file)).stdout
}

impl Drop for SystemdCoredump {
    fn drop(&mut self) {
        if let Some(listener) = &mut self.listener {
            let _ = listener.kill();
            let _ = listener.wait();
            let _ = fs::remove_file(SOCKET);
        }
    }
}
