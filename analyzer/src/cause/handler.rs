//! Looks behind the program's own signal handlers, to what they were called for.
//!
//! Many programs catch SIGSEGV, write something, and end with `abort()` or `raise()`: the signal
//! that killed them is then not the one that matters. The kernel leaves all registers of the first
//! moment on the stack, above the frame of its trampoline, and for handlers that asked for it
//! (`SA_SIGINFO`) the first `siginfo`. For the others the interrupted instruction says what it must
//! have been. That also finds handlers that are gone: one that calls `raise()` with its signal
//! blocked returns first, and the process dies of a sent signal at an instruction that faults.

use super::fault::fault_of;
use super::instruction::Instruction;
use crate::group;
use crate::report::{Address, Frame, Signal};
use crate::scene::{Function, Mapping, Scene};
use crate::signals;

/// Handlers within handlers that are looked behind.
const MAX_HANDLERS: usize = 4;
const SIGABRT: i32 = 6;

/// The process as it was when a signal was delivered that a handler of its own took.
pub(super) struct Interrupted<'s> {
    scene: &'s dyn Scene,
    signal: Signal,
    first: usize,
    /// Whether the kernel's own word for the signal was found.
    pub(super) told: bool,
    /// What handled the signal, by name.
    pub(super) handler: Option<String>,
}

/// Where the story of the crash begins: the process at its death, or before its handlers ran.
pub(super) fn before(scene: &dyn Scene) -> Option<Interrupted<'_>> {
    let mut found = raised_again(scene);
    for _ in 0..MAX_HANDLERS {
        let from = found.as_ref().map_or(0, |found| found.first);
        let ended_by = found.as_ref().map_or(scene.signal(), |found| &found.signal);
        match behind(scene, from, ended_by) {
            Some(earlier) => found = Some(earlier),
            None => break,
        }
    }
    found
}

/// The fault behind a signal that was sent while an instruction stood that cannot but fault.
fn raised_again(scene: &dyn Scene) -> Option<Interrupted<'_>> {
    let sent = scene.signal();
    if sent.code.is_none_or(|code| code > 0) {
        return None;
    }
    let signal = fault_of(scene, Instruction::at_crash(scene).as_ref()?)
        .filter(|fault| fault.name == sent.name)?;
    Some(Interrupted {
        scene,
        signal,
        first: 0,
        told: false,
        handler: None,
    })
}

/// Looks behind the innermost handler among the frames from `from` on.
fn behind<'s>(scene: &'s dyn Scene, from: usize, ended_by: &Signal) -> Option<Interrupted<'s>> {
    let frames = scene.frames();
    let after = frames.get(from..)?;
    let trampoline = from.checked_add(after.iter().position(|frame| frame.signal_trampoline)?)?;
    let first = trampoline.checked_add(1)?;
    frames.get(first)?;
    let told = delivered(scene, trampoline);
    let mut before = Interrupted {
        scene,
        signal: Signal::default(),
        first,
        told: told.is_some(),
        handler: handler(frames, trampoline),
    };
    before.signal = told.or_else(|| inferred(&before))?;
    is_told_by(&before.signal, ended_by).then_some(before)
}

/// What must have been delivered, by where it was delivered.
fn inferred(before: &Interrupted<'_>) -> Option<Signal> {
    let raising = before
        .frames()
        .iter()
        .filter_map(|frame| frame.function.as_deref())
        .take_while(|name| group::is_plumbing(name))
        .any(|name| matches!(group::normalize(name).as_str(), "abort" | "__GI_abort"));
    if raising {
        return Some(named(SIGABRT, super::SI_TKILL));
    }
    fault_of(before, Instruction::at_crash(before).as_ref()?)
}

/// A signal by number and code.
pub(super) fn named(number: i32, code: i32) -> Signal {
    Signal {
        number,
        name: signals::name(number),
        code: Some(code),
        code_name: signals::code_name(number, code).map(str::to_owned),
        ..Signal::default()
    }
}

/// Whether a handled signal is what the death is about. A crash in a handler of SIGALRM is a crash
/// of that handler; SIGQUIT is one only when its handler chose to end the process.
fn is_told_by(handled: &Signal, ended_by: &Signal) -> bool {
    match handled.name.as_str() {
        "SIGSEGV" | "SIGBUS" | "SIGILL" | "SIGFPE" | "SIGTRAP" | "SIGSYS" | "SIGABRT" => true,
        "SIGQUIT" => ended_by.code.is_some_and(|code| code <= 0),
        _ => false,
    }
}

fn handler(frames: &[Frame], trampoline: usize) -> Option<String> {
    let name = frames
        .get(trampoline.checked_sub(1)?)?
        .function
        .as_deref()?;
    // A handler may end in a jump to raise(), and is then on no stack.
    (!group::is_plumbing(name)).then(|| name.to_owned())
}

/// The `siginfo` the kernel pushed. The handler returned to the trampoline, so the stack pointer
/// there is at `struct rt_sigframe`, after the return address on x86-64
/// (arch/x86/include/asm/sigframe.h, arch/arm64/kernel/signal.c).
fn delivered(scene: &dyn Scene, trampoline: usize) -> Option<Signal> {
    /// `sizeof(struct ucontext)` of the kernel, which stands before `siginfo`.
    const X86_64_UCONTEXT: u64 = 304;
    let info = match scene.arch() {
        "x86_64" => scene
            .frame_register(trampoline, "rsp")?
            .checked_add(X86_64_UCONTEXT)?,
        "aarch64" => scene.frame_register(trampoline, "sp")?,
        _ => return None,
    };
    let word = |offset: u64| Some(scene.read_u32(info.checked_add(offset)?)?.cast_signed());
    let number = word(0).filter(|number| (1..=64).contains(number))?;
    // Without SA_SIGINFO the kernel writes nothing here, and what stands here is anything.
    let code = word(8).filter(|_| word(4) == Some(0))?;
    let mut signal = named(number, code);
    signal.code_name.as_ref()?;
    if code <= 0 {
        signal.sender_pid = Some(word(16)?);
        signal.sender_uid = scene.read_u32(info.checked_add(20)?);
    } else if code != super::SI_KERNEL {
        signal.address = scene.read_u64(info.checked_add(16)?).map(Address);
    }
    Some(signal)
}

impl<'s> Interrupted<'s> {
    /// The process as a frame's caller left it, whatever its signal.
    pub(super) fn frame(scene: &'s dyn Scene, first: usize) -> Self {
        Interrupted {
            scene,
            signal: scene.signal().clone(),
            first,
            told: true,
            handler: None,
        }
    }

    /// How many frames belong to the handlers.
    pub(super) fn first(&self) -> usize {
        self.first
    }
}

impl Scene for Interrupted<'_> {
    fn arch(&self) -> &str {
        self.scene.arch()
    }

    fn signal(&self) -> &Signal {
        &self.signal
    }

    fn pid(&self) -> Option<i32> {
        self.scene.pid()
    }

    fn executable(&self) -> Option<&str> {
        self.scene.executable()
    }

    fn register(&self, name: &str) -> Option<u64> {
        self.scene.frame_register(self.first, name)
    }

    fn frames(&self) -> &[Frame] {
        self.scene.frames().get(self.first..).unwrap_or_default()
    }

    fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        self.scene.read(address, buffer)
    }

    fn mappings(&self) -> &[Mapping] {
        self.scene.mappings()
    }

    fn symbol(&self, module_prefix: &str, name: &str) -> Option<(u64, u64)> {
        self.scene.symbol(module_prefix, name)
    }

    fn function(&self, address: u64) -> Option<Function> {
        self.scene.function(address)
    }

    fn frame_register(&self, frame_index: usize, name: &str) -> Option<u64> {
        self.scene
            .frame_register(self.first.checked_add(frame_index)?, name)
    }
}
