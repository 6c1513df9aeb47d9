//! Signals that no fault raised: sent by somebody, or by the kernel on a rule.

use crate::program::{Program, because, expect};

fn signals() -> Program {
    Program::built("signals.c", &["gcc", "-g", "-O1"])
}

/// However the watchdog sends it, it was another process, whose number is said.
#[test]
fn watchdogs() {
    let program = signals();
    for (argument, signal, kind) in [
        ("watchdog", "SIGABRT", "killed-by"),
        ("watchdog-queue", "SIGABRT", "killed-by"),
        ("watchdog-thread", "SIGABRT", "killed-by"),
        ("quit", "SIGQUIT", "quit"),
    ] {
        let report = program.report(argument);
        let sender = program.written("sender");
        assert_eq!(
            report.process.signal.sender_pid.map(|pid| pid.to_string()),
            Some(sender.clone())
        );
        let title = format!("{signal} sent by process {sender} while in serve");
        let cause = expect(report, kind, &title);
        assert_eq!(cause.instruction, None, "{cause:#?}");
        assert_eq!(cause.confidence, "certain");
    }
}

#[test]
fn forbidden_system_calls() {
    let program = signals();
    let report = program.report("forbidden");
    assert_eq!(report.process.signal.system_call.as_deref(), Some("rename"));
    let cause = expect(
        report,
        "bad-syscall",
        "forbidden system call rename in rename_it",
    );
    because(&cause, "a seccomp filter");
    assert_eq!(cause.instruction, None, "{cause:#?}");
    program.check(
        "forbidden-unknown",
        "bad-syscall",
        "forbidden system call number 4095 in unknown_call",
    );
}

#[test]
fn traps() {
    let program = signals();
    let trap = program.check(
        "trap",
        "compiler-trap",
        "breakpoint instruction in stop_here",
    );
    assert_eq!(trap.instruction.as_deref(), Some("int3"));
    program.check(
        "trap-raised",
        "raised",
        "SIGTRAP raised by the program itself in raise_trap",
    );
}

#[test]
fn faults_that_were_sent() {
    let program = Program::built("faults.c", &["gcc", "-g", "-O1"]);
    let killed = program.check(
        "killed",
        "killed-by",
        "SIGSEGV sent by process * while in be_killed",
    );
    assert_eq!(killed.instruction, None);
    program.check(
        "raised",
        "raised",
        "SIGSEGV raised by the program itself in raise_it",
    );
}
