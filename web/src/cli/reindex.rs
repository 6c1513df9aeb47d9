//! `aground reindex`: builds the database anew from the files beside the dumps.

use super::session::Failure;
use super::text::visible;
use aground_daemon::Config;
use aground_store::Store;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Build the database anew from the files of the dumps; the daemon must be stopped
#[derive(clap::Args)]
pub struct Arguments {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// State directory
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// Rebuilds, and says what could not be read.
pub fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = Config::load(arguments.config.as_deref());
    let config = config.map_err(|error| Failure::Other(error.into()))?;
    let directory = arguments.state_dir.unwrap_or(config.state_dir);
    if !directory.is_dir() {
        let shown = visible(&directory.to_string_lossy());
        return Err(Failure::Message(format!(
            "there is no state directory {shown}"
        )));
    }
    refuse_root(&directory)?;
    let mut progress = Line::new();
    let rebuilt = Store::rebuild(&directory, |done, all| progress.tell(done, all));
    progress.end();
    let rebuilt = rebuilt.map_err(|error| Failure::Other(error.into()))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{} dumps read in", rebuilt.rows.admitted)?;
    for warning in &rebuilt.warnings {
        writeln!(out, "{}", visible(warning))?;
    }
    for (name, reason) in &rebuilt.rows.unreadable {
        writeln!(out, "{}: {}", visible(name), visible(reason))?;
    }
    if rebuilt.rows.unreadable.is_empty() {
        Ok(())
    } else {
        Err(Failure::Told)
    }
}

/// Root must not open a database where the service's user can put what he likes in its place.
fn refuse_root(directory: &Path) -> Result<(), Failure> {
    let owner = directory.metadata()?.uid();
    if owner == 0 || !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::Message(format!(
        "{} belongs to user {owner}: run this as that user (sudo -u '#{owner}' aground reindex)",
        visible(&directory.to_string_lossy())
    )))
}

/// How far it is, on a terminal.
struct Line {
    shown: bool,
    last: Option<Instant>,
}

impl Line {
    fn new() -> Self {
        Self {
            shown: io::stderr().is_terminal(),
            last: None,
        }
    }

    fn tell(&mut self, done: usize, all: usize) {
        let due = self
            .last
            .is_none_or(|last| last.elapsed() >= Duration::from_millis(200));
        if self.shown && due {
            self.last = Some(Instant::now());
            eprint!("\r\x1b[KReading {done} of {all} dumps");
        }
    }

    fn end(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
