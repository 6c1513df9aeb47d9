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
        let file = eventually(Duration::from_secs(30), || {
            let entries = fs::read_dir(CORES).map_err(|error| error.to_string())?;
            let names = entries.map(|entry| entry.expect("an entry").path());
            let is_of = |path: &PathBuf| {
                let name = path.to_string_lossy();
                name.contains(&part) && name.contains("/core.")
            };
            names.filter(is_of).next().ok_or("no core".to_owned())
        });
        let core = finish(Command::new("zstd").arg("-dcq").arg(&file));
        let facts = finish(
            Command::new("getfattr")
                .args(["-d", "--absolute-names"])
                .arg(&file),
        );
        fs::remove_file(file).expect("remove the core");
        (core.bytes, facts.stdout)
    }
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
