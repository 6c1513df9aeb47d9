//! The process that takes a core in.

use crate::facts::Imported;
use crate::unpack::unpack;
use aground_analyzer::dump::Core;
use aground_analyzer::dump::source::CoreBytes;
use aground_analyzer::mapped::Bytes;
use aground_helper::capture::elf::read_core_head;
use aground_helper::capture::stream;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

const USAGE: &str = "usage: aground-import MEMORY_BYTES CPU_SECONDS FILE_BYTES PARENT_PID";
/// The longest core, bytes: what fits the table of frames.
const LONGEST: u64 = 1 << 40;

/// How the worker ends when the core is one, but could not be stored.
pub const NOT_STORED: u8 = 3;

/// Why there is no stored core.
enum Failed {
    /// It is none, or the worker could not begin.
    Refused(String),
    /// It did not fit the disk.
    NotStored(String),
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

/// Runs the worker with the program's arguments.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let (line, code) = match work(arguments) {
        Ok(imported) => (
            serde_json::to_string(&imported).unwrap_or_default(),
            ExitCode::SUCCESS,
        ),
        Err(Failed::Refused(why)) => (why, ExitCode::FAILURE),
        Err(Failed::NotStored(why)) => (why, ExitCode::from(NOT_STORED)),
    };
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "{line}");
    code
}

fn work(arguments: &[OsString]) -> Result<Imported, Failed> {
    let number = |index: usize| arguments.get(index)?.to_str()?.parse::<u64>().ok();
    let (Some(memory), Some(seconds), Some(budget), Some(parent), 4) =
        (number(0), number(1), number(2), number(3), arguments.len())
    else {
        return Err(Failed::Refused(USAGE.to_owned()));
    };
    let file = |stream: io::Result<_>| stream.map(File::from).map_err(|error| error.to_string());
    let input = file(io::stdin().as_fd().try_clone_to_owned())?;
    let output = file(io::stdout().as_fd().try_clone_to_owned())?;
    aground_sandbox::confine(i32::try_from(parent).ok()).map_err(|error| error.to_string())?;
    limit(memory, seconds, budget).map_err(|error| format!("no limits: {error}"))?;
    import(input, output, budget)
}

/// Sets the limits; one that is already lower stays. Not the address space: the stored core is
/// mapped, whatever its size.
fn limit(memory: u64, seconds: u64, file: u64) -> io::Result<()> {
    for (resource, value) in [
        (Resource::Core, 0),
        (Resource::Nofile, 0),
        (Resource::Cpu, seconds),
        (Resource::Data, memory),
        (Resource::Fsize, file.saturating_add(16 << 20)),
    ] {
        let maximum = getrlimit(resource).maximum;
        let value = maximum.map_or(value, |maximum| maximum.min(value));
        let both = Rlimit {
            current: Some(value),
            maximum: Some(value),
        };
        setrlimit(resource, both)?;
    }
    Ok(())
}

/// Stores the core of `input` in the empty `output`, in at most `budget` bytes.
fn import(input: impl Read + 'static, mut output: File, budget: u64) -> Result<Imported, Failed> {
    let unpacked = unpack(input).map_err(|error| format!("it cannot be read: {error}"))?;
    let mut hashed = Hashed {
        stream: unpacked.take(LONGEST),
        digest: Sha256::new(),
    };
    let head = read_core_head(&mut hashed);
    if let Some(problem) = &head.problem {
        return Err(Failed::Refused(problem.clone()));
    }
    let outcome = stream::store(&head, &mut hashed, &mut output, budget, stream::workers());
    if outcome.stored.raw < outcome.seen {
        let why = outcome.stopped.unwrap_or_default();
        return Err(Failed::NotStored(why));
    }
    let bytes = Bytes::of_file(&output).map_err(|error| error.to_string())?;
    let core = Core::open(CoreBytes::new(bytes)).map_err(|error| error.to_string())?;
    let mut imported = Imported {
        sha256: aground_analyzer::dump::elf::hexadecimal(&hashed.digest.finalize()),
        announced: head.size.unwrap_or(0),
        seen: outcome.seen,
        kept: outcome.stored.raw,
        stored: outcome.stored.file,
        stopped: outcome.stopped,
        ..Imported::default()
    };
    imported.describe(&core);
    Ok(imported)
}

/// A stream whose bytes are hashed as they pass.
struct Hashed<R> {
    stream: R,
    digest: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        let read = buffer.get(..count).unwrap_or_default();
        self.digest.update(read);
        Ok(count)
    }
}
