//! A real debuginfod server over a directory of files, which ends with the test.

use crate::http;
use crate::run::eventually;
use crate::site::{free_port, signal, text};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server.
pub struct Debuginfod {
    child: Child,
    port: u16,
    log: std::path::PathBuf,
}

impl Debuginfod {
    /// Serves the ELF files below a directory; its own files go to `scratch`.
    #[track_caller]
    pub fn serve(directory: &Path, scratch: &Path) -> Self {
        let (port, log) = (free_port(), scratch.join("debuginfod.log"));
        let output = File::create(&log).expect("make a log");
        let child = Command::new("debuginfod")
            .args(["-F", "-v", "-v", "-p", &port.to_string(), "-d"])
            .arg(scratch.join("debuginfod.sqlite"))
            .arg(text(directory))
            .env_remove("DEBUGINFOD_URLS")
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("clone"))
            .stderr(output)
            .spawn()
            .expect("start debuginfod (apt install debuginfod)");
        let server = Self { child, port, log };
        server.wait_until_scanned(0);
        server
    }

    /// Its address, as a configuration has it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Has it look for new files, until it has scanned at least so many.
    #[track_caller]
    pub fn rescan(&self, files: u64) {
        signal(self.child.id(), rustix::process::Signal::USR1);
        self.wait_until_scanned(files);
    }

    #[track_caller]
    fn wait_until_scanned(&self, files: u64) {
        eventually(Duration::from_secs(30), || {
            let ready = self.metric("ready") == Some(1);
            let scanned = self.metric("scanned_files_total{source=\"file\"}");
            (ready && scanned.unwrap_or(0) >= files)
                .then_some(())
                .ok_or_else(|| self.log_text())
        });
    }

    /// What it says of its work.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How often it was asked for the debug information of a build ID.
    pub fn asked(&self, build_id: &str) -> usize {
        let request = format!("GET /buildid/{build_id}/debuginfo ");
        self.log_text().matches(&request).count()
    }

    fn metric(&self, name: &str) -> Option<u64> {
        let metrics = http::try_get(self.port, "/metrics").ok()?.text();
        let mut values = metrics.lines().filter_map(|line| line.strip_prefix(name));
        values.next()?.trim().parse().ok()
    }
}

impl Drop for Debuginfod {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
