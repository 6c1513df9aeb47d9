//! Tells a signal that the program sent itself from one that came from elsewhere.
//!
//! The sender's process id does not: in a container it may be a number of another namespace, and
//! the scene does not know its own. The system call that the thread died in does.

use super::{Confidence, conclude, place};
use crate::report::Cause;
use crate::scene::Scene;

/// x86-64's `syscall`.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

/// A signal that the crashed thread was just sending when it came.
pub(super) fn by_itself(scene: &dyn Scene) -> Option<Cause> {
    let signal = scene.signal();
    signal.code.filter(|code| *code <= 0)?;
    let sends = sent_signal(scene)?;
    if sends != u64::try_from(signal.number).ok()? {
        return None;
    }
    let kind = if signal.name == "SIGQUIT" {
        "quit"
    } else {
        "raised"
    };
    let title = format!(
        "{} raised by the program itself in {}",
        signal.name,
        place(scene)
    );
    Some(conclude(kind, title, Confidence::Certain).evidence(format!(
        "The thread was in the system call that sends {}, to its own process.",
        signal.name
    )))
}

/// The signal that the system call the thread is in sends to the thread's own process.
fn sent_signal(scene: &dyn Scene) -> Option<u64> {
    /// Numbers of `arch/x86/entry/syscalls/syscall_64.tbl`.
    const KILL: u64 = 62;
    const TKILL: u64 = 200;
    const TGKILL: u64 = 234;
    let mut before = [0; 2];
    let at = scene.register("rip")?.checked_sub(2)?;
    if scene.arch() != "x86_64" || !scene.read(at, &mut before) || before != SYSCALL {
        return None;
    }
    let sender = u64::try_from(scene.signal().sender_pid?).ok()?;
    let to = scene.register("rdi")?;
    match scene.register("orig_rax")? {
        KILL if to == sender => scene.register("rsi"),
        TGKILL if to == sender => scene.register("rdx"),
        // Takes a thread, which need not have its process's number.
        TKILL => scene.register("rsi"),
        _ => None,
    }
}
