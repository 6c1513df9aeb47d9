//! Keeps the memory the policy allows, and says in the record what was kept and why not more.

use super::direct;
use super::elf::CoreHead;
use super::lean;
use super::live::ProcessMemory;
use super::stream::{self, CoreOutcome};
use crate::bounded::wait_until;
use crate::forward::Forwarding;
use crate::policy::Decision;
use crate::process::Pinned;
use crate::record::{Capture, Forwarded, Kept, Record, Way};
use crate::spool::Entry;
use std::fs::File;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// Bytes passed on at a time when nobody else reads them.
const PIECE: usize = 256 * 1024;

/// Reads the core from standard input, without a buffer of its own, until the process may not be
/// held any longer: a kernel that waits for a file system of the container's sends nothing.
pub(crate) struct CoreStream {
    /// What was read ahead.
    ahead: io::Cursor<Vec<u8>>,
    end: Option<Instant>,
    allowed: Duration,
    timed_out: bool,
    forwarding: Option<Forwarding>,
}

impl CoreStream {
    /// A stream that ends when `hold_max` is over, counted from `started`.
    pub(crate) fn new(started: Instant, hold_max: Duration) -> Self {
        Self {
            ahead: io::Cursor::default(),
            end: started.checked_add(hold_max),
            allowed: hold_max,
            timed_out: false,
            forwarding: None,
        }
    }

    /// Gives another handler what was read so far, and from now on everything that is read.
    pub(crate) fn pass_on_to(&mut self, forwarding: Option<Forwarding>, so_far: &[u8]) {
        self.forwarding = forwarding;
        self.pass_on(so_far);
    }

    /// Whether another handler gets the crash, too.
    pub(crate) fn is_passed_on(&self) -> bool {
        self.forwarding.is_some()
    }

    fn pass_on(&mut self, bytes: &[u8]) {
        if let Some(forwarding) = &mut self.forwarding {
            forwarding.give(bytes, self.end.unwrap_or_else(Instant::now));
        }
    }

    /// Reads the rest of the stream, which should have `length` bytes and must be few, into memory, so
    /// that the process can be let go before they are compressed and written. Returns whether they
    /// all came.
    pub(crate) fn read_ahead(&mut self, length: u64) -> bool {
        let most = length.saturating_add(4096);
        let mut ahead = Vec::with_capacity(usize::try_from(most).unwrap_or(0));
        let read = (&mut *self).take(most).read_to_end(&mut ahead);
        let whole = read.is_ok_and(|read| u64::try_from(read).is_ok_and(|read| read >= length));
        self.ahead = io::Cursor::new(ahead);
        whole
    }

    /// Whether the kernel still had more to send when the time was over.
    pub(crate) fn timed_out(&self) -> bool {
        self.timed_out
    }

    /// Gives the other handler what nobody here has read, and waits for it.
    pub(crate) fn pass_on_rest(&mut self) -> Option<Forwarded> {
        let mut buffer = vec![0; PIECE];
        let mut cut = None;
        while self.forwarding.as_ref().is_some_and(Forwarding::wants_more) {
            match self.read(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    cut = Some(error);
                    break;
                }
            }
        }
        let end = self.end.unwrap_or_else(Instant::now);
        let forwarding = self.forwarding.take()?;
        Some(forwarding.finish(cut.as_ref(), end))
    }
}

impl Read for CoreStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let ahead = self.ahead.read(buffer)?;
        if ahead > 0 {
            return Ok(ahead);
        }
        let stdin = rustix::stdio::stdin();
        if let Some(end) = self.end {
            wait_until(stdin, end).map_err(|error| self.explained(error))?;
        }
        let count = rustix::io::read(stdin, &mut *buffer)?;
        self.pass_on(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl CoreStream {
    fn explained(&mut self, error: io::Error) -> io::Error {
        if error.kind() != io::ErrorKind::TimedOut {
            return error;
        }
        self.timed_out = true;
        let seconds = self.allowed.as_secs_f32();
        io::Error::new(
            error.kind(),
            format!("the process may be held for {seconds} seconds, and they are over"),
        )
    }
}

/// The ways to the memory of a process that the kernel holds.
pub(crate) struct DyingProcess<'a, S> {
    /// The beginning of the core stream.
    pub(crate) head: &'a mut CoreHead,
    /// The rest of it.
    pub(crate) stream: &'a mut S,
    /// Its `/proc/P`, unless that was gone.
    pub(crate) pinned: Option<&'a Pinned>,
    /// When it must be let go.
    pub(crate) deadline: Instant,
    /// Most memory in a lean core, bytes.
    pub(crate) lean_max: u64,
}

/// Stores the memory by policy; returns the file when it holds some.
pub(crate) fn capture_memory(
    decision: Decision,
    process: &mut DyingProcess<'_, impl Read>,
    entry: &Entry,
    record: &mut Record,
) -> Option<File> {
    let head = &*process.head;
    let problem = head.problem.clone();
    record.problems.extend(problem.clone());
    let capture = &mut record.capture;
    capture.core_size = head.size;
    capture.bytes_seen = length(&head.bytes);
    let decision = match decision {
        Decision::None { reason } => Err(reason),
        _ if head.bytes.is_empty() => Err("the core stream was empty".to_owned()),
        decision => Ok(decision),
    };
    let new_file = |decision| match entry.new_core() {
        Ok(file) => Ok((decision, file)),
        Err(error) => Err(format!("the core's file could not be made: {error}")),
    };
    let decision = decision.map(|decision| {
        let problems = &mut record.problems;
        of_a_process_that_is_gone(decision, process, problems)
    });
    let (decision, mut file) = match decision.and_then(new_file) {
        Ok(ready) => ready,
        Err(reason) => {
            capture.reason = Some(reason);
            return None;
        }
    };
    match decision {
        Decision::Lean { budget, reason } => {
            capture.reason = lean_core(process, entry, &mut file, budget, reason, capture);
        }
        Decision::Full { budget } => {
            let (outcome, way) = whole_core(process, &mut file, budget);
            capture.way = Some(way);
            capture.reason = describe(&outcome, capture);
            if let (Some(problem), Kept::Full) = (problem, capture.kept) {
                // All that came was kept, but it is not all of a core.
                (capture.kept, capture.reason) = (Kept::Partial, Some(problem));
            }
        }
        Decision::None { .. } => {}
    }
    Some(file)
}

/// Stores the whole core, from memory where that can be done, else from the stream.
fn whole_core(
    process: &mut DyingProcess<'_, impl Read>,
    file: &mut File,
    budget: u64,
) -> (CoreOutcome, Way) {
    let memory = process
        .pinned
        .filter(|pinned| pinned.is_dumping())
        .and_then(|pinned| ProcessMemory::open(pinned.proc()).ok());
    if let Some(memory) = memory
        && let Some(plan) = direct::Plan::of(process.head, process.stream)
    {
        let workers = stream::workers();
        let outcome = direct::store(&plan, &memory, file, budget, workers, process.deadline);
        return (outcome, Way::Memory);
    }
    let workers = stream::workers();
    let outcome = stream::store(process.head, &mut *process.stream, file, budget, workers);
    (outcome, Way::Stream)
}

/// A lean core is read from the process. When that is gone already, because the kernel does not wait
/// (`core_pipe_limit` 0), what it has written is all there is: it is kept if it is as small as a lean
/// core may be.
fn of_a_process_that_is_gone(
    decision: Decision,
    process: &DyingProcess<'_, impl Read>,
    problems: &mut Vec<String>,
) -> Decision {
    let fits = process
        .head
        .size
        .is_some_and(|size| size <= process.lean_max);
    match decision {
        Decision::Lean { budget, .. } if fits && memory_of(process).is_err() => {
            let problem = "a lean core could not be chosen: the process was gone, and the kernel's \
                           whole core is small";
            problems.push(problem.to_owned());
            Decision::Full { budget }
        }
        decision => decision,
    }
}

fn memory_of(process: &DyingProcess<'_, impl Read>) -> Result<ProcessMemory, String> {
    let gone = || "the process was gone before its memory could be read".to_owned();
    process.pinned.ok_or_else(gone).and_then(|pinned| {
        ProcessMemory::open(pinned.proc())
            .map_err(|error| format!("the process's memory could not be opened: {error}"))
    })
}

/// Stores a lean core; returns why not more was kept.
fn lean_core(
    process: &mut DyingProcess<'_, impl Read>,
    entry: &Entry,
    file: &mut File,
    budget: u64,
    reason: Option<String>,
    capture: &mut Capture,
) -> Option<String> {
    let bounds = lean::Bounds {
        memory: process.lean_max,
        file: budget,
        deadline: process.deadline,
    };
    let scratch = || entry.scratch();
    let stored = memory_of(process).and_then(|memory| {
        lean::store(
            process.head,
            process.stream,
            &memory,
            scratch,
            file,
            &bounds,
        )
    });
    let lacks = match stored {
        Ok(outcome) => {
            capture.way = Some(Way::Memory);
            capture.bytes_kept = outcome.core.stored.raw;
            capture.bytes_stored = outcome.core.stored.file;
            capture.kept = match outcome.core.stored.raw {
                0 => Kept::None,
                kept if kept == outcome.size => Kept::Lean,
                _ => Kept::Partial,
            };
            outcome.core.stopped.or(outcome.lacks)
        }
        Err(problem) => Some(format!("no lean core could be made: {problem}")),
    };
    let sentences: Vec<String> = reason.into_iter().chain(lacks).collect();
    (!sentences.is_empty()).then(|| sentences.join("; "))
}

/// Makes the core last under its name, unless nothing of it was kept. Syncing gigabytes takes
/// seconds, so that this is for after the release.
pub(crate) fn keep_core(file: &File, entry: &Entry, capture: &mut Capture) {
    if capture.kept == Kept::None {
        entry.discard_core();
    } else if let Err(error) = entry.keep_core(file) {
        give_core_up(entry, capture, format!("writing the core failed: {error}"));
    }
}

pub(crate) fn give_core_up(entry: &Entry, capture: &mut Capture, reason: String) {
    entry.discard_core();
    (capture.kept, capture.bytes_kept, capture.bytes_stored) = (Kept::None, 0, 0);
    capture.reason = Some(reason);
}

/// Writes down what was kept; returns why it is not everything.
fn describe(outcome: &CoreOutcome, capture: &mut Capture) -> Option<String> {
    capture.bytes_seen = outcome.seen;
    capture.bytes_kept = outcome.stored.raw;
    capture.bytes_stored = outcome.stored.file;
    capture.truncated = capture.core_size.is_some_and(|size| outcome.seen < size);
    let whole =
        outcome.stopped.is_none() && outcome.stored.raw == outcome.seen && !capture.truncated;
    capture.kept = match outcome.stored.raw {
        0 => Kept::None,
        _ if whole => Kept::Full,
        _ => Kept::Partial,
    };
    let of = capture
        .core_size
        .map(|size| format!(" of {size}"))
        .unwrap_or_default();
    let cut = || format!("the core ended early: {}{of} bytes arrived", outcome.seen);
    let stopped = outcome
        .stopped
        .as_ref()
        .map(|why| format!("{why}; {}{of} bytes were kept", outcome.stored.raw));
    stopped.or_else(|| capture.truncated.then(cut))
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_described() {
        let capture = Capture {
            core_size: Some(100),
            ..Capture::default()
        };
        let check = |seen, raw, stopped: Option<&str>, kept, truncated, reason: Option<&str>| {
            let mut capture = capture.clone();
            let stored = crate::capture::seekable::Stored { raw, file: 9 };
            let said = describe(
                &CoreOutcome {
                    seen,
                    stored,
                    stopped: stopped.map(str::to_owned),
                },
                &mut capture,
            );
            assert_eq!(
                (capture.kept, capture.truncated, said.as_deref()),
                (kept, truncated, reason)
            );
        };
        check(100, 100, None, Kept::Full, false, None);
        check(
            40,
            40,
            None,
            Kept::Partial,
            true,
            Some("the core ended early: 40 of 100 bytes arrived"),
        );
        check(
            90,
            60,
            Some("no space"),
            Kept::Partial,
            true,
            Some("no space; 60 of 100 bytes were kept"),
        );
        check(
            90,
            0,
            Some("no space"),
            Kept::None,
            true,
            Some("no space; 0 of 100 bytes were kept"),
        );
    }
}
