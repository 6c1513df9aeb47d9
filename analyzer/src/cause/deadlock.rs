//! Tells that a process which somebody ended had locked itself up.

use super::{Confidence, conclude};
use crate::group;
use crate::report::{Cause, Frame, ProcessFacts, Thread};

/// Threads named in a title.
const NAMED: usize = 3;

/// The cause, now that it is known who waits for whom: a process that was ended from outside was
/// ended for its deadlock, if it has one.
pub fn with_locks(
    cause: Cause,
    process: &ProcessFacts,
    threads: &[Thread],
    deadlocks: &[Vec<i32>],
) -> Cause {
    if !is_from_outside(&cause, process) {
        return cause;
    }
    if let Some(circle) = deadlocks.first() {
        return deadlocked(cause, process, &members(threads, circle));
    }
    match threads.first().and_then(waiting) {
        Some(sentence) => cause.evidence(sentence),
        None => cause,
    }
}

fn is_from_outside(cause: &Cause, process: &ProcessFacts) -> bool {
    let sender = process.signal.sender_pid;
    matches!(cause.kind.as_str(), "killed-by" | "quit") && sender != Some(process.pid)
}

fn members<'t>(threads: &'t [Thread], circle: &[i32]) -> Vec<&'t Thread> {
    let member = |tid: &i32| threads.iter().find(|thread| thread.tid == *tid);
    circle.iter().filter_map(member).collect()
}

fn deadlocked(cause: Cause, process: &ProcessFacts, members: &[&Thread]) -> Cause {
    let mut places: Vec<String> = members.iter().map(|thread| place(thread)).collect();
    let between = between(&places);
    let signal = &process.signal.name;
    let by = match process.signal.sender_pid {
        Some(sender) => format!("ended by {signal} from process {sender}"),
        None => format!("ended by {signal}"),
    };
    let mut found = conclude(
        "deadlock",
        format!("deadlock {between}, {by}"),
        Confidence::Certain,
    );
    for sentence in members.iter().filter_map(|thread| waiting(thread)) {
        found = found.evidence(sentence);
    }
    for sentence in cause.evidence {
        found = found.evidence(sentence);
    }
    // The same circle, wherever it is entered.
    places.sort_unstable();
    found.message(Some(format!("deadlock of {}", places.join(", "))))
}

fn between(places: &[String]) -> String {
    match places {
        [alone] => format!("of {alone} with itself"),
        [first, second] => format!("between {first} and {second}"),
        _ => {
            let named = places.iter().take(NAMED).cloned().collect::<Vec<_>>();
            let more = places.len().saturating_sub(named.len());
            let others = match more {
                0 => String::new(),
                1 => " and 1 other".to_owned(),
                _ => format!(" and {more} others"),
            };
            format!("between {}{others}", named.join(", "))
        }
    }
}

/// Where a thread waits: C++'s lock classes are not where.
fn place(thread: &Thread) -> String {
    let is_lock = |frame: &&Frame| {
        let name = frame.function.as_deref().unwrap_or_default();
        !frame.in_app || name.starts_with("std::") || name.starts_with("__gthread_")
    };
    let locks = thread.frames.iter().take_while(is_lock).count();
    let waiting = thread.frames.get(locks..).and_then(group::place);
    waiting
        .or_else(|| group::place(&thread.frames))
        .unwrap_or_else(|| format!("thread {}", thread.tid))
}

fn waiting(thread: &Thread) -> Option<String> {
    let wait = thread.waits_for.as_ref()?;
    let name = thread
        .name
        .as_deref()
        .map(|name| format!(" ({name})"))
        .unwrap_or_default();
    Some(format!(
        "Thread {}{name}, in {}, {wait}.",
        thread.tid,
        place(thread)
    ))
}
