//! `analyze`: explains any core file, without a daemon.

use super::bt::{self, Depth};
use super::session::{Failure, Session};
use super::text::visible_json;
use aground_analyzer::offline::{OfflineRequest, analyze};
use std::io::Write;
use std::path::PathBuf;

/// Explain a core file, without the daemon
#[derive(clap::Args)]
pub struct Arguments {
    /// Core file: ELF, plain or compressed with zstd
    #[arg(value_name = "CORE")]
    core: PathBuf,
    /// The program that crashed, wherever it lies now
    #[arg(long, value_name = "FILE")]
    exe: Option<PathBuf>,
    /// Root of the process's file system, such as an unpacked image
    #[arg(long, value_name = "DIR")]
    sysroot: Option<PathBuf>,
    /// Directory of separate debug files, beside /usr/lib/debug; may be repeated
    #[arg(long = "debug-dir", value_name = "DIR")]
    debug_dirs: Vec<PathBuf>,
    #[command(flatten)]
    depth: Depth,
    /// Format output: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// Prints the report.
pub fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let request = OfflineRequest {
        core: arguments.core.clone(),
        exe: arguments.exe.clone(),
        sysroot: arguments.sysroot.clone(),
        debug_dirs: arguments.debug_dirs.clone(),
    };
    let report = analyze(&request).map_err(|error| Failure::Message(error.to_string()))?;
    if arguments.format == "json" {
        let json = serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?;
        writeln!(session.out, "{}", visible_json(&json))?;
    } else {
        bt::write_report(session, &report, &[], arguments.depth)?;
    }
    Ok(session.flush()?)
}
