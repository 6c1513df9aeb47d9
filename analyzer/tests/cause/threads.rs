//! Threads that wait for locks, for each other, and by the dozen.

use crate::program::{Program, because, expect};
use aground_analyzer::report::{Report, Thread};
use aground_analyzer::text::{TextOptions, render};

fn locks() -> Program {
    Program::built("locks.c", &["gcc", "-g", "-O1", "-pthread"])
}

#[track_caller]
fn thread_in<'r>(report: &'r Report, function: &str) -> &'r Thread {
    let has = |thread: &&Thread| {
        let mut names = thread.frames.iter().filter_map(|f| f.function.as_deref());
        names.any(|name| name == function)
    };
    let found = report.threads.iter().find(has);
    found.unwrap_or_else(|| panic!("nobody is in {function}: {:#?}", report.threads))
}

#[test]
fn a_lock_and_its_holder() {
    let report = locks().report("held");
    let (waiting, holder) = (thread_in(&report, "main"), thread_in(&report, "hold"));
    let wait = waiting.waits_for.as_ref().expect("a wait");
    assert_eq!(
        (wait.what.as_str(), wait.owner),
        ("mutex", Some(holder.tid))
    );
    assert_eq!(holder.waits_for, None);
    assert_eq!(report.deadlocks, Vec::<Vec<i32>>::new());
    let said = format!("owned by thread {}", holder.tid);
    let all = TextOptions {
        all_threads: true,
        ..TextOptions::default()
    };
    assert!(render(&report, all).contains(&said));
    // The kernel chooses which thread takes a signal that is sent to the process.
    let in_main = report.threads[0].tid == waiting.tid;
    let title = "SIGABRT sent by process * while in *";
    let cause = expect(report, "killed-by", title);
    if in_main {
        because(&cause, &said);
    }
}

#[test]
fn a_deadlock_ended_from_outside() {
    let program = locks();
    for (argument, signal) in [("deadlock", "SIGABRT"), ("deadlock-quit", "SIGQUIT")] {
        let report = program.report(argument);
        let (seller, restocker) = (thread_in(&report, "sell"), thread_in(&report, "restock"));
        let owner = |thread: &Thread| thread.waits_for.as_ref().and_then(|wait| wait.owner);
        assert_eq!(owner(seller), Some(restocker.tid));
        assert_eq!(owner(restocker), Some(seller.tid));
        // The main thread waits for one of them, and is no part of it.
        assert_eq!(owner(thread_in(&report, "main")), Some(seller.tid));
        assert_eq!(report.deadlocks.len(), 1);
        let mut circle = report.deadlocks[0].clone();
        circle.sort_unstable();
        let mut both = vec![seller.tid, restocker.tid];
        both.sort_unstable();
        assert_eq!(circle, both);

        let written = render(&report, TextOptions::default());
        for words in ["in sell ()", "in restock ()", "waits for the mutex at 0x"] {
            assert!(written.contains(words), "{words} is missing in\n{written}");
        }
        let (seller, restocker) = (seller.tid, restocker.tid);
        let title = format!("deadlock between *, ended by {signal} from process *");
        let cause = expect(report, "deadlock", &title);
        because(
            &cause,
            &format!("Thread {seller}, in sell, waits for the mutex"),
        );
        because(&cause, &format!("Thread {restocker}, in restock, waits"));
        assert_eq!(cause.message.as_deref(), Some("deadlock of restock, sell"));
        assert_eq!(cause.confidence, "certain");
    }
}

/// Not where the library's classes are is where a thread waits, but who called them.
#[test]
fn locks_of_cpp() {
    for optimise in ["-O0", "-O2"] {
        let program = Program::built("mutexes.cc", &["g++", "-g", optimise, "-pthread"]);
        let cause = program.check(
            "all",
            "deadlock",
            "deadlock between *, ended by SIGABRT from process *",
        );
        let message = cause.message.as_deref();
        assert_eq!(message, Some("deadlock of add_item, change_price"));
    }
}

/// Who ends himself has his own reasons; the deadlock is told all the same.
#[test]
fn a_deadlock_beside_an_abort() {
    let report = locks().report("deadlock-abort");
    assert_eq!(report.deadlocks.len(), 1);
    expect(report, "abort", "abort in main");
}

#[test]
fn a_lock_taken_twice() {
    let report = locks().report("twice");
    let tid = report.threads[0].tid;
    assert_eq!(report.deadlocks, [[tid]]);
    expect(
        report,
        "deadlock",
        "deadlock of lock_twice with itself, ended by SIGABRT from process *",
    );
}

/// musl's plain mutexes do not record their owner; that is said, and nothing is made up.
#[test]
fn locks_of_musl() {
    let program = Program::built("locks.c", &["musl-gcc", "-g", "-O1"]);
    let report = program.report("held");
    let wait = thread_in(&report, "main")
        .waits_for
        .as_ref()
        .expect("a wait");
    assert_eq!((wait.what.as_str(), wait.owner), ("mutex", None));
    assert!(wait.to_string().ends_with("does not record its owner"));
}

#[test]
fn equal_stacks_are_one() {
    let report = locks().report("idle");
    assert_eq!(report.threads.len(), 41);
    let all = TextOptions {
        all_threads: true,
        ..TextOptions::default()
    };
    let written = render(&report, all);
    assert!(written.contains("40 threads like this: "), "{written}");
    for thread in &report.threads {
        assert!(written.contains(&thread.tid.to_string()), "{}", thread.tid);
    }
    assert_eq!(written.matches(" in idle () at ").count(), 1, "{written}");
    // Registers differ, so that with them each thread stands for itself.
    let registers = TextOptions {
        registers: true,
        ..all
    };
    let each = render(&report, registers);
    assert_eq!(each.matches(" in idle () at ").count(), 40, "{each}");
}
