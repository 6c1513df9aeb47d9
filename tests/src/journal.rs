//! The host's journal, also where systemd is not process 1.

use crate::run::eventually;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = "/lib/systemd/systemd-journald";
const SOCKET: &str = "/run/systemd/journal/socket";

/// The running journal; ends with the test unless systemd runs it.
pub struct Journal {
    daemon: Option<Child>,
}

impl Journal {
    /// Starts it, unless systemd has.
    #[track_caller]
    pub fn start() -> Self {
        if Path::new("/run/systemd/system").exists() {
            return Self { daemon: None };
        }
        fs::create_dir_all("/run/systemd/journal").expect("make its directory");
        let daemon = Command::new(PROGRAM)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("apt-get install systemd");
        let started = Self {
            daemon: Some(daemon),
        };
        eventually(Duration::from_secs(10), || {
            let there = Path::new(SOCKET).exists();
            there.then_some(()).ok_or("it does not listen".to_owned())
        });
        started
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}
