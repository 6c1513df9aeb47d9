//! Makes a lean core of a stored whole one, in a process of its own that the daemon runs:
//! `aground-collect thin`. The core is hostile; what reads it has two open files, no environment,
//! and limits it sets on itself.
//!
//! Standard input is the whole core, standard output the empty file for the lean one. What became
//! of it is one line on standard error: JSON of [`Thinned`], or why it failed.

use crate::capture::elf::read_core_head;
use crate::capture::lean::{self, Bounds};
use crate::capture::stored::{CoreMemory, StoredCore};
use rustix::fs::MemfdFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The first argument that asks for this instead of what the kernel asks for.
pub const VERB: &str = "thin";
const USAGE: &str = "usage: aground-collect thin LEAN_BYTES MEMORY_BYTES SECONDS PARENT_PID";

/// A lean core that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thinned {
    /// Its bytes before compression.
    pub core_bytes: u64,
    /// What it lacks of what a lean core should have, a sentence.
    pub lacks: Option<String>,
}

/// What the worker may take.
struct Limits {
    lean: u64,
    memory: u64,
    seconds: u64,
    parent: i32,
}

/// Runs the worker with the arguments after [`VERB`].
pub fn run(arguments: &[OsString]) -> ExitCode {
    let (line, code) = match work(arguments) {
        Ok(thinned) => (
            serde_json::to_string(&thinned).unwrap_or_default(),
            ExitCode::SUCCESS,
        ),
        Err(error) => (error, ExitCode::FAILURE),
    };
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "{line}");
    code
}

fn work(arguments: &[OsString]) -> Result<Thinned, String> {
    let limits = Limits::parse(arguments).ok_or(USAGE)?;
    let file = |stream: io::Result<_>| stream.map(File::from).map_err(|error| error.to_string());
    let core = file(io::stdin().as_fd().try_clone_to_owned())?;
    let mut lean = file(io::stdout().as_fd().try_clone_to_owned())?;
    let scratch = rustix::fs::memfd_create("notes", MemfdFlags::CLOEXEC)
        .map_err(|error| format!("no memory for the notes: {error}"))?;
    aground_sandbox::confine(Some(limits.parent)).map_err(|error| error.to_string())?;
    limits
        .apply()
        .map_err(|error| format!("the limits could not be set: {error}"))?;
    thin(
        core,
        &mut lean,
        File::from(scratch),
        limits.lean,
        Duration::from_secs(limits.seconds),
    )
}

impl Limits {
    fn parse(arguments: &[OsString]) -> Option<Self> {
        let number = |index: usize| arguments.get(index)?.to_str()?.parse().ok();
        (arguments.len() == 4).then_some(())?;
        Some(Self {
            lean: number(0)?,
            memory: number(1)?,
            seconds: number(2)?,
            parent: i32::try_from(number(3)?).ok()?,
        })
    }

    fn apply(&self) -> io::Result<()> {
        limit(Resource::Core, 0)?;
        limit(Resource::Nofile, 0)?;
        limit(Resource::Cpu, self.seconds)?;
        limit(Resource::As, self.memory)?;
        // Headers and notes come on top of the memory, and what does not compress.
        limit(Resource::Fsize, self.lean.saturating_mul(2).max(512 << 20))
    }
}

/// Lowers a limit; one that is already lower stays.
fn limit(resource: Resource, value: u64) -> io::Result<()> {
    let current = getrlimit(resource);
    let value = current.maximum.map_or(value, |maximum| maximum.min(value));
    let both = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    Ok(setrlimit(resource, both)?)
}

/// Writes a lean core with at most `lean_max` bytes of memory into the empty file `lean`.
fn thin(
    core: File,
    lean: &mut File,
    scratch: File,
    lean_max: u64,
    within: Duration,
) -> Result<Thinned, String> {
    let core = StoredCore::open(core).map_err(|error| format!("the core: {error}"))?;
    let mut stream = core.stream();
    let head = read_core_head(&mut stream);
    if let Some(problem) = &head.problem {
        return Err(problem.clone());
    }
    let bounds = Bounds {
        memory: lean_max,
        file: u64::MAX,
        deadline: Instant::now() + within,
    };
    let memory = CoreMemory::new(&core, &head);
    let outcome = lean::store(&head, &mut stream, &memory, || Ok(scratch), lean, &bounds)?;
    match outcome.core.stopped {
        Some(why) => Err(why),
        None if outcome.core.stored.raw != outcome.size => {
            Err("the lean core is not whole".to_owned())
        }
        None => Ok(Thinned {
            core_bytes: outcome.size,
            lacks: outcome.lacks,
        }),
    }
}
