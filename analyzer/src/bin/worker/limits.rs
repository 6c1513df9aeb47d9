//! Limits that the worker sets on itself, before it parses anything.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const USAGE: &str = "usage: aground-analyzer worker|names|describe|script [--memory BYTES] [--seconds N] [--parent PID]";
/// The report is the only thing written; one this large is a mistake.
const OUTPUT_MAX: u64 = 64 << 20;

/// What the worker may use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Bytes of memory, apart from the files that are mapped.
    memory: Option<u64>,
    /// Seconds of processor time.
    seconds: Option<u64>,
    /// The process id of whoever started this, with whom it ends.
    pub parent: Option<i32>,
}

impl Limits {
    /// Reads the command line, without the program's name.
    pub fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        if !matches!(
            arguments.next().as_deref(),
            Some("worker" | "names" | "describe" | "script")
        ) {
            return Err(USAGE.to_owned());
        }
        let mut limits = Limits::default();
        while let Some(option) = arguments.next() {
            let value = arguments.next().and_then(|value| value.parse::<u64>().ok());
            match (option.as_str(), value) {
                ("--memory", Some(bytes)) => limits.memory = Some(bytes),
                ("--seconds", Some(seconds)) => limits.seconds = Some(seconds),
                ("--parent", Some(parent)) => limits.parent = i32::try_from(parent).ok(),
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(limits)
    }

    /// Sets the limits. The heap is limited at once, the address space when files are mapped.
    pub fn apply(self) -> Result<(), Errno> {
        limit(Resource::Core, 0)?;
        limit(Resource::Fsize, OUTPUT_MAX)?;
        if let Some(memory) = self.memory {
            limit(Resource::Data, memory)?;
        }
        if let Some(seconds) = self.seconds {
            limit(Resource::Cpu, seconds)?;
        }
        Ok(())
    }

    /// Closes what only the start needed: no further file can be opened, and the address space
    /// holds what is mapped and the memory allowed.
    pub fn seal(self, mapped: u64) -> Result<(), Errno> {
        limit(Resource::Nofile, 0)?;
        match self.memory {
            Some(memory) => limit(Resource::As, memory.saturating_add(mapped)),
            None => Ok(()),
        }
    }
}

/// Lowers a limit; one that is already lower stays.
fn limit(resource: Resource, value: u64) -> Result<(), Errno> {
    let current = getrlimit(resource);
    let value = current.maximum.map_or(value, |maximum| maximum.min(value));
    setrlimit(
        resource,
        Rlimit {
            current: Some(value),
            maximum: Some(value),
        },
    )
}
