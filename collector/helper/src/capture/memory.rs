//! Keeps the memory the policy allows, and says in the record what was kept and why not more.

use super::elf::CoreHead;
use super::stream::{self, CoreOutcome};
use crate::policy::Decision;
use crate::record::{Capture, Kept, Record};
use crate::spool::Entry;
use std::fs::File;
use std::io::{self, Read};

/// Reads from standard input without a buffer of its own.
pub(crate) struct PipeReader<'a>(pub(crate) &'a mut rustix::fd::BorrowedFd<'static>);

impl Read for PipeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(*self.0, buffer)?)
    }
}

/// Stores the memory by policy; returns the file when it holds some.
pub(crate) fn capture_memory(
    decision: Decision,
    head: &CoreHead,
    stream: &mut impl Read,
    entry: &Entry,
    record: &mut Record,
) -> Option<File> {
    record.problems.extend(head.problem.clone());
    let capture = &mut record.capture;
    capture.core_size = head.size;
    capture.bytes_seen = length(&head.bytes);
    let budget = match decision {
        Decision::Full { budget } if !head.bytes.is_empty() => budget,
        Decision::Full { .. } => {
            capture.reason = Some("the core stream was empty".to_owned());
            return None;
        }
        Decision::Lean { reason, .. } => {
            capture.reason = reason.or_else(|| Some("no whole core was asked for".to_owned()));
            return None;
        }
        Decision::None { reason } => {
            capture.reason = Some(reason);
            return None;
        }
    };
    let mut file = match entry.new_core() {
        Ok(file) => file,
        Err(error) => {
            capture.reason = Some(format!("the core's file could not be made: {error}"));
            return None;
        }
    };
    let outcome = stream::store(head, stream, &mut file, budget, stream::workers());
    capture.reason = describe(&outcome, capture);
    if let (Some(problem), Kept::Full) = (&head.problem, capture.kept) {
        // All that came was kept, but it is not all of a core.
        (capture.kept, capture.reason) = (Kept::Partial, Some(problem.clone()));
    }
    Some(file)
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
