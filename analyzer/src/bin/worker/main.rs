//! The worker: one core in a process of its own, with limits, reading only what it was handed.
//!
//! `aground-analyzer worker [--memory BYTES] [--seconds N] [--parent PID]` reads a [`Manifest`] as JSON from
//! standard input and writes a [`Conclusion`] as JSON to standard output, after drafts of its report.
//! Every crash gets a report: where the core is none, or none was kept, it holds what the record
//! knew. Anything but exit status 0 means that the worker itself failed, or was stopped by its limits.
//!
//! `aground-analyzer names` with the same options reads a manifest without a core and writes what
//! is known of each module's code, of those of which something was asked.
//!
//! `aground-analyzer describe` with the same options reads a file of symbols from standard input
//! and writes a [`Description`](aground_analyzer::describe::Description) of it.
//!
//! `aground-analyzer script` with the same options reads a [`Task`](aground_analyzer::script::Task)
//! from standard input, runs its scripts and writes their answers.
//!
//! `aground-analyzer escape` sets the same limits, enters the same sandbox and tries to get out
//! of it: a line for each attempt, and exit status 0 when all were refused.

mod handed;
mod limits;

use aground_analyzer::analyze::{Conclusion, Facts, analyze_in_stages, without_memory};
use aground_analyzer::describe::describe;
use aground_analyzer::dump::source::CoreBytes;
use aground_analyzer::manifest::{DRAFT_END, Manifest};
use aground_analyzer::mapped::Bytes;
use aground_analyzer::report::Report;
use aground_analyzer::script;
use aground_sandbox::escape::{Attempt, try_everything};
use aground_sandbox::{Confined, confine};
use handed::Handed;
use limits::Limits;
use serde::Serialize;
use std::io::{self, Read, Write};
use std::process::ExitCode;

/// A larger manifest is refused: the daemon writes a few hundred bytes per module.
const MANIFEST_MAX: u64 = 16 << 20;

/// The most bytes of scripts, record and report.
const TASK_MAX: u64 = 80 << 20;
/// Room for the program itself besides the memory that scripts may use.
const ADDRESS_SPACE: u64 = 128 << 20;

fn main() -> ExitCode {
    let ran = match std::env::args().nth(1).as_deref() {
        Some("escape") => escape(),
        Some("describe") => describe_file(),
        Some("names") => answer(),
        Some("script") => run_scripts(),
        _ => run(),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            let _ = writeln!(std::io::stderr(), "aground-analyzer: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let limits = Limits::from_arguments(std::env::args().skip(1))?;
    enter(limits)?;
    let manifest = read_manifest()?;
    let mut handed = Handed::new(&manifest);
    let core = manifest
        .core_fd
        .map(|fd| handed.map(fd).map_err(|error| error.to_string()));
    handed.map_modules(&manifest);
    limits
        .seal(handed.mapped_bytes())
        .map_err(|error| format!("cannot set limits: {error}"))?;
    write(&conclude(core, &mut handed, &Facts::from(&manifest)), &[])
        .map_err(|error| format!("cannot write the report: {error}"))
}

fn enter(limits: Limits) -> Result<Confined, String> {
    limits
        .apply()
        .map_err(|error| format!("cannot set limits: {error}"))?;
    confine(limits.parent).map_err(|error| error.to_string())
}

fn escape() -> Result<(), String> {
    let confined = enter(Limits::default())?;
    let landlock = if confined.landlock { "yes" } else { "no" };
    let user = confined.user.map(|user| user.to_string());
    let user = user.as_deref().unwrap_or("unchanged");
    let mut lines = format!("landlock: {landlock}\nuser: {user}\n");
    let attempts = try_everything();
    for Attempt { what, error } in &attempts {
        let answer = error.as_ref().map_or("done".into(), io::Error::to_string);
        lines.push_str(what);
        lines.push_str(": ");
        lines.push_str(&answer);
        lines.push('\n');
    }
    let written = io::stdout().write_all(lines.as_bytes());
    written.map_err(|error| error.to_string())?;
    if !attempts.iter().all(Attempt::is_refused) {
        return Err("the sandbox is not tight".to_owned());
    }
    Ok(())
}

fn describe_file() -> Result<(), String> {
    enter(Limits::from_arguments(std::env::args().skip(1))?)?;
    let bytes = Bytes::of_descriptor(0).map_err(|error| format!("cannot map it: {error}"))?;
    let description = describe(bytes).map_err(|problem| format!("it is {problem}"))?;
    let text = serde_json::to_vec(&description).map_err(|error| error.to_string())?;
    io::stdout()
        .write_all(&text)
        .map_err(|error| error.to_string())
}

/// Answers questions about modules, without any core.
fn answer() -> Result<(), String> {
    let limits = Limits::from_arguments(std::env::args().skip(1))?;
    enter(limits)?;
    let manifest = read_manifest()?;
    let mut handed = Handed::new(&manifest);
    handed.map_modules(&manifest);
    limits
        .seal(handed.mapped_bytes())
        .map_err(|error| format!("cannot set limits: {error}"))?;
    write(&handed.answer(&manifest), &[])
        .map_err(|error| format!("cannot write the answers: {error}"))
}

/// Runs scripts on what is known of a dump: no file is handed over.
fn run_scripts() -> Result<(), String> {
    let limits = Limits::from_arguments(std::env::args().skip(1))?;
    enter(limits)?;
    let mut text = Vec::new();
    let read = io::stdin().take(TASK_MAX).read_to_end(&mut text);
    read.map_err(|error| format!("cannot read the task: {error}"))?;
    limits
        .seal(ADDRESS_SPACE)
        .map_err(|error| format!("cannot set limits: {error}"))?;
    let task = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    drop(text);
    let answers = serde_json::to_vec(&script::run(&task)).map_err(|error| error.to_string())?;
    io::stdout()
        .write_all(&answers)
        .map_err(|error| error.to_string())
}

fn conclude(core: Option<Result<Bytes, String>>, handed: &mut Handed, facts: &Facts) -> Conclusion {
    let only = |report| Conclusion {
        report,
        asked: Vec::new(),
    };
    let result = match core {
        None => return only(without_memory(facts)),
        Some(Ok(bytes)) => {
            let core = Some(CoreBytes::new(bytes));
            analyze_in_stages(core, handed, facts, Some(&mut write_draft))
                .map_err(|error| error.to_string())
        }
        Some(Err(reason)) => Err(format!("it could not be mapped: {reason}")),
    };
    result.unwrap_or_else(|reason| {
        let mut report = without_memory(facts);
        report.warnings = vec![format!("The core could not be read: {reason}.")];
        only(report)
    })
}

fn read_manifest() -> Result<Manifest, String> {
    let mut text = Vec::new();
    let read = std::io::stdin()
        .take(MANIFEST_MAX + 1)
        .read_to_end(&mut text);
    read.map_err(|error| format!("cannot read the manifest: {error}"))?;
    if text.len() as u64 > MANIFEST_MAX {
        return Err(format!("the manifest is larger than {MANIFEST_MAX} bytes"));
    }
    serde_json::from_slice(&text).map_err(|error| format!("the manifest is not valid: {error}"))
}

/// A draft that cannot be written is one less; the report says what there is to say of that.
fn write_draft(report: &Report) {
    let _ = write(report, &[DRAFT_END]);
}

fn write(value: &impl Serialize, end: &[u8]) -> io::Result<()> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut output, value)?;
    output.write_all(end)?;
    output.flush()
}
