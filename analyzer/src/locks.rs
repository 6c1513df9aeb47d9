//! Finds what threads wait for, who has it, and threads that wait for each other.
//!
//! A thread that waits for a mutex is in the futex system call, with the address of the mutex's
//! lock word as its first argument; the mutex records its owner by thread id, as the process
//! numbers threads, which is how the core does. Only mutexes of C libraries do: those of Rust and
//! Go record none.

use crate::group;
use crate::report::{Address, Frame, Thread, Wait};
use crate::space::Space;
use std::collections::HashMap;

/// Frames looked at for the function that waits: the system call's wrappers and the lock's.
const DEPTH: usize = 8;

/// The mutex of a C library.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Library {
    /// `struct __pthread_mutex_s` (`sysdeps/nptl/bits/struct_mutex.h`): lock, count, owner.
    Glibc,
    /// `struct { int _m_type; int _m_lock; … }` (`src/internal/pthread_impl.h`): the lock word is the
    /// owner, but for normal mutexes, which record none.
    Musl,
}

/// Says of each thread what it waits for. `threads` are in the core's order.
pub fn find(space: &Space<'_>, threads: &mut [Thread]) {
    let names: HashMap<i32, Option<String>> = threads
        .iter()
        .map(|thread| (thread.tid, thread.name.clone()))
        .collect();
    for thread in threads {
        let Some(mut wait) = wait(space, thread, &names) else {
            continue;
        };
        let owner = wait.owner.map(|owner| names.get(&owner));
        wait.owner_missing = matches!(owner, Some(None));
        wait.owner_name = owner.flatten().cloned().flatten();
        thread.waits_for = Some(wait);
    }
}

fn wait(space: &Space<'_>, thread: &Thread, tids: &HashMap<i32, Option<String>>) -> Option<Wait> {
    let futex = futex(space, thread)?;
    let frames = thread.frames.get(..DEPTH).unwrap_or(&thread.frames);
    let word = |address| space_word(space, address);
    if frames.iter().any(|frame| is(frame, &MUTEX)) {
        let (address, owner) = match library(frames) {
            Library::Glibc => (futex, word(futex.checked_add(8)?)),
            Library::Musl => {
                let mutex = futex.checked_sub(4)?;
                (mutex, musl_owner(word(mutex)?, word(futex)?))
            }
        };
        let owner = owner.and_then(tid).filter(|_| word(futex) != Some(0));
        return Some(Wait {
            what: "mutex".to_owned(),
            address: Address(address),
            owner,
            ..Wait::default()
        });
    }
    // glibc waits for the other thread's own record of its number to become zero.
    let joins = frames.iter().any(|frame| is(frame, &JOIN)) && library(frames) == Library::Glibc;
    let joined = word(futex).and_then(tid);
    joined
        .filter(|joined| joins && tids.contains_key(joined))
        .map(|joined| Wait {
            what: "end".to_owned(),
            address: Address(futex),
            owner: Some(joined),
            ..Wait::default()
        })
}

/// Functions that wait for a mutex, of glibc and musl, exported ones first.
const MUTEX: [&str; 9] = [
    "pthread_mutex_lock",
    "pthread_mutex_timedlock",
    "pthread_mutex_clocklock",
    "__pthread_mutex_lock",
    "___pthread_mutex_lock",
    "__GI___pthread_mutex_lock",
    "__pthread_mutex_lock_full",
    "__pthread_mutex_timedlock",
    "__pthread_mutex_clocklock_common",
];

/// Functions that wait for a thread.
const JOIN: [&str; 5] = [
    "pthread_join",
    "__pthread_join",
    "___pthread_join",
    "__pthread_clockjoin_ex",
    "pthread_timedjoin_np",
];

fn is(frame: &Frame, functions: &[&str]) -> bool {
    let name = frame.function.as_deref().map(group::normalize);
    name.is_some_and(|name| functions.contains(&name.as_str()))
}

/// musl's library is its dynamic linker; in a static program its own functions tell it.
fn library(frames: &[Frame]) -> Library {
    let by_file = |frame: &Frame| {
        let file = frame.module.as_deref()?.rsplit('/').next()?;
        Some(file == "libc.so" || file.starts_with("ld-musl"))
    };
    let is_musl = |frame: &Frame| {
        by_file(frame) == Some(true) || is(frame, &["__timedwait", "__timedwait_cp"])
    };
    if frames.iter().any(is_musl) {
        Library::Musl
    } else {
        Library::Glibc
    }
}

/// The lower bits of a lock word that is an owner: the others say that somebody waits, or that the
/// owner died.
fn musl_owner(kind: u32, lock: u32) -> Option<u32> {
    (kind & 15 != 0).then_some(lock & 0x3fff_ffff)
}

fn tid(word: u32) -> Option<i32> {
    i32::try_from(word).ok().filter(|tid| *tid > 0)
}

/// The futex that a thread waits on, if it does.
fn futex(space: &Space<'_>, thread: &Thread) -> Option<u64> {
    let register = |name: &str| thread.registers.get(name).map(|value| value.0);
    match space.core.arch.name {
        // Numbers of arch/x86/entry/syscalls.
        "x86_64" if register("orig_rax")? == 202 => register("rdi"),
        "i386" if matches!(register("orig_eax")?, 240 | 422) => register("ebx"),
        _ => None,
    }
}

fn space_word(space: &Space<'_>, address: u64) -> Option<u32> {
    let mut bytes = [0; 4];
    space
        .read(address, &mut bytes)
        .then(|| u32::from_le_bytes(bytes))
}

/// Threads that wait for each other in a circle, by thread id: each waits for the next, the last
/// for the first. A thread may wait for itself.
pub fn deadlocks(threads: &[Thread]) -> Vec<Vec<i32>> {
    let next: HashMap<i32, i32> = threads
        .iter()
        .filter_map(|thread| Some((thread.tid, thread.waits_for.as_ref()?.owner?)))
        .collect();
    let mut done: HashMap<i32, usize> = HashMap::new();
    let mut circles = Vec::new();
    for (walk, thread) in threads.iter().enumerate() {
        let mut path = Vec::new();
        let mut at = Some(thread.tid);
        while let Some(tid) = at.filter(|tid| !done.contains_key(tid)) {
            done.insert(tid, walk);
            path.push(tid);
            at = next.get(&tid).copied();
        }
        // A walk that came back to its own path found a circle; one that met another did not.
        let back = at.and_then(|tid| path.iter().position(|seen| *seen == tid));
        if let Some(circle) = back.and_then(|back| path.get(back..)) {
            circles.push(circle.to_vec());
        }
    }
    circles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(waits: &[(i32, Option<i32>)], expected: &[&[i32]]) {
        let thread = |&(tid, owner): &(i32, Option<i32>)| Thread {
            tid,
            waits_for: Some(Wait {
                owner,
                ..Wait::default()
            }),
            ..Thread::default()
        };
        let threads: Vec<Thread> = waits.iter().map(thread).collect();
        assert_eq!(deadlocks(&threads), expected, "{waits:?}");
    }

    #[test]
    fn circles() {
        check(&[], &[]);
        check(&[(1, None), (2, Some(1)), (3, Some(2))], &[]);
        check(&[(1, Some(2)), (2, Some(1))], &[&[1, 2]]);
        check(&[(1, Some(1))], &[&[1]]);
        check(
            &[(9, Some(1)), (1, Some(2)), (2, Some(3)), (3, Some(1))],
            &[&[1, 2, 3]],
        );
        check(
            &[
                (1, Some(2)),
                (2, Some(1)),
                (3, Some(4)),
                (4, Some(3)),
                (5, Some(3)),
            ],
            &[&[1, 2], &[3, 4]],
        );
        check(&[(1, Some(77))], &[]);
        check(&[(1, Some(2)), (1, Some(2)), (2, Some(1))], &[&[1, 2]]);
    }

    #[test]
    fn owners_of_musl() {
        assert_eq!(musl_owner(0, 16), None);
        assert_eq!(musl_owner(1, 0x8000_004d), Some(77));
    }
}
