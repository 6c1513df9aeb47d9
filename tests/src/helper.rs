//! Calls the helper as the kernel would, or as it never should.

use crate::run::Outcome;
use crate::site::Site;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A process id that is free: above what the kernel gives out by default on small machines, and
/// looked up.
pub fn vanished_pid() -> String {
    let free = (2..4_000_000)
        .rev()
        .find(|pid| !PathBuf::from(format!("/proc/{pid}")).exists());
    free.expect("a free process id").to_string()
}

/// Calls the helper with everything after the state directory, and a core on standard input.
pub fn collect(site: &Site, arguments: &[&str], core: &[u8]) -> Outcome {
    let mut helper = Command::new(site.program("aground-collect"))
        .arg(site.state())
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the helper");
    // It may refuse before it reads.
    let _ = helper.stdin.take().expect("a pipe").write_all(core);
    let output = helper.wait_with_output().expect("wait");
    Outcome {
        command: format!("aground-collect STATE {arguments:?}"),
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        bytes: output.stdout,
    }
}

/// What the kernel would say of a segmentation fault of root's process `pid`.
pub fn kernel_arguments(pid: &str) -> Vec<String> {
    [
        pid,
        pid,
        "1",
        "0",
        "0",
        "11",
        "1795000000",
        "18446744073709551615",
        "1",
        "3",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Calls the helper as the kernel would for `pid`.
pub fn record(site: &Site, pid: &str, core: &[u8]) -> Outcome {
    let arguments = kernel_arguments(pid);
    collect(
        site,
        &arguments.iter().map(String::as_str).collect::<Vec<_>>(),
        core,
    )
}

/// Tells the helper to keep whole what crashes however often; lasts until a daemon starts.
pub fn keep_all(site: &Site) {
    let settings = site.state().join("capture.json");
    std::fs::write(settings, r#"{"governor":{"enabled":false}}"#).expect("write the settings");
}
