//! Says why the process died, how sure that is, and what it rests on.
//!
//! A signal that the program handled itself is explained as of the moment before its handler ran
//! (`handler`).
//!
//! ```text
//! signal ─┬─ sent by a process ─────────────► sent, killed-by
//!         ├─ SIGABRT, or abort()'s last way out ► abort     what the program said
//!         ├─ SIGSEGV, SIGBUS ────────────────► fault     the instruction and its operand
//!         └─ SIGILL SIGFPE SIGTRAP SIGSYS ───► trap      the signal's own meaning
//! ```

mod abort;
mod asserted;
mod code;
mod deadlock;
mod fault;
mod freed;
mod handed;
mod handler;
mod instruction;
mod memory;
mod sent;
mod site;
mod text;
mod trap;

#[cfg(test)]
mod tests;

pub use deadlock::with_locks;
pub(crate) use handed::returned;
pub use site::site;
pub(crate) use text::{c_string, is_text, string};

use crate::group;
use crate::report::{Cause, Frame, Signal};
use crate::scene::Scene;
use handler::Interrupted;
use instruction::Instruction;

/// `SI_USER`: sent by kill(2).
const SI_USER: i32 = 0;
/// `SI_KERNEL`: sent by the kernel without an address.
const SI_KERNEL: i32 = 0x80;
/// `SI_QUEUE`: sent by sigqueue(3).
const SI_QUEUE: i32 = -1;
/// `SI_TKILL`: sent by tgkill(2), which raise(3) and abort(3) use.
const SI_TKILL: i32 = -6;

/// How sure a conclusion is.
#[derive(Clone, Copy)]
enum Confidence {
    Certain,
    Likely,
    Guess,
}

impl Confidence {
    fn word(self) -> String {
        match self {
            Confidence::Certain => "certain",
            Confidence::Likely => "likely",
            Confidence::Guess => "guess",
        }
        .to_owned()
    }
}

/// Explains a crash whose memory is at hand.
pub fn explain(scene: &dyn Scene) -> Cause {
    match handler::before(scene) {
        None => explain_as_found(scene),
        Some(before) => {
            let mut cause = explain_as_found(&before);
            if !before.told && cause.confidence == Confidence::Certain.word() {
                cause.confidence = Confidence::Likely.word();
            }
            // abort() raises its signal a second time when a handler came back from the first.
            if before.told && before.signal().name == "SIGABRT" && scene.signal().name == "SIGABRT"
            {
                return cause;
            }
            cause.evidence(handled(&before, scene.signal()))
        }
    }
}

fn handled(before: &Interrupted<'_>, ended_by: &Signal) -> String {
    let signal = &before.signal().name;
    let how = match (&before.handler, before.first()) {
        (_, 0) => format!(
            "{} was sent at an instruction that faults: a handler raised it again.",
            ended_by.name
        ),
        (Some(handler), _) => format!(
            "{handler} handled {signal}, then the process ended by {}.",
            ended_by.name
        ),
        (None, _) => format!(
            "A handler of {signal} ran, then the process ended by {}.",
            ended_by.name
        ),
    };
    if before.told {
        how
    } else {
        format!("{how} The address is the instruction's; the kernel's word is gone.")
    }
}

/// How many of the crashed thread's innermost frames ran after the fact, in handlers of the
/// signal that [`explain`] explains.
pub fn handler_frames(scene: &dyn Scene) -> usize {
    handler::before(scene).map_or(0, |before| before.first())
}

fn explain_as_found(scene: &dyn Scene) -> Cause {
    let instruction = Some(scene)
        .filter(|scene| scene.signal().name == "SIGTRAP")
        .and_then(Instruction::passed_breakpoint)
        .or_else(|| Instruction::at_crash(scene));
    let mut cause = decide(scene, instruction.as_ref());
    // For a signal that was sent, the instruction is just where the process happened to be.
    let by_instruction = scene.signal().code.is_some_and(|code| code > 0)
        && scene.signal().name != "SIGSYS"
        && is_at_code(scene);
    cause.instruction = instruction
        .filter(|_| by_instruction)
        .map(|instruction| instruction.text);
    cause.title = text::one_line(&cause.title);
    cause
}

/// Data that was jumped to is no instruction, though it decodes to one.
fn is_at_code(scene: &dyn Scene) -> bool {
    let pc = scene.pc().unwrap_or_default();
    scene
        .mapping_at(pc)
        .is_none_or(|mapping| mapping.executable)
}

/// What can be said without memory: the signal and where it came from.
pub fn of_signal(signal: &Signal, executable: Option<&str>) -> Cause {
    let name = executable.and_then(|path| path.rsplit('/').next());
    let name = name.unwrap_or("an unknown program");
    if let Some(cause) = killed_by(signal, name) {
        return cause;
    }
    conclude(
        "unknown",
        format!("{} in {name}", signal.name),
        Confidence::Certain,
    )
    .evidence(format!(
        "The process was killed by {}; there is no memory to say more.",
        signal.name
    ))
}

fn decide(scene: &dyn Scene, instruction: Option<&Instruction>) -> Cause {
    let signal = scene.signal();
    if let Some(cause) = abort::explain(scene, instruction) {
        return cause;
    }
    if let Some(cause) = sent::by_itself(scene) {
        return cause;
    }
    if let Some(cause) = killed_by(signal, &place(scene)) {
        return cause;
    }
    match signal.name.as_str() {
        "SIGSEGV" | "SIGBUS" => fault::explain(scene, instruction),
        "SIGILL" => trap::illegal_instruction(scene, instruction),
        "SIGFPE" => trap::arithmetic(scene, instruction),
        "SIGTRAP" => trap::breakpoint(scene, instruction),
        "SIGSYS" => trap::forbidden_call(scene),
        "SIGQUIT" => conclude(
            "quit",
            format!("SIGQUIT in {}", place(scene)),
            Confidence::Certain,
        ),
        _ => conclude(
            "unknown",
            format!("{} in {}", signal.name, place(scene)),
            Confidence::Certain,
        ),
    }
}

/// A signal that a process sent, rather than the kernel for what the program did.
fn killed_by(signal: &Signal, place: &str) -> Option<Cause> {
    let sent = matches!(signal.code, Some(SI_USER | SI_QUEUE | SI_TKILL));
    let sender = signal.sender_pid.filter(|_| sent)?;
    let kind = if signal.name == "SIGQUIT" {
        "quit"
    } else {
        "killed-by"
    };
    let title = format!("{} sent by process {sender} while in {place}", signal.name);
    let uid = signal
        .sender_uid
        .map(|uid| format!(" of user {uid}"))
        .unwrap_or_default();
    Some(conclude(kind, title, Confidence::Certain).evidence(format!(
        "{}: process {sender}{uid} sent the signal (the number is as the dead process saw it; 0 is a process outside its namespace).",
        signal.code_name.as_deref().unwrap_or("the signal's code")
    )))
}

/// Where in the program it happened: the topmost frame that is the program's own.
fn place(scene: &dyn Scene) -> String {
    group::place(scene.frames()).unwrap_or_else(|| {
        let name = scene.executable().and_then(|path| path.rsplit('/').next());
        name.unwrap_or("an unknown place").to_owned()
    })
}

/// The first physical frame: the one the registers belong to.
fn top(scene: &dyn Scene) -> Option<&Frame> {
    scene.frames().iter().find(|frame| !frame.inline)
}

fn conclude(kind: &str, title: String, confidence: Confidence) -> Cause {
    Cause {
        kind: kind.to_owned(),
        title,
        confidence: confidence.word(),
        ..Cause::default()
    }
}

impl Cause {
    fn evidence(mut self, sentence: impl AsRef<str>) -> Self {
        self.evidence.push(text::one_line(sentence.as_ref()));
        self
    }

    fn message(mut self, message: Option<String>) -> Self {
        self.message = message;
        self
    }

    fn access(mut self, access: &str) -> Self {
        self.access = Some(access.to_owned());
        self
    }
}
