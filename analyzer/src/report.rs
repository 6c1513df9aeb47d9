//! What analysis concluded: `report.json`, also the output of `aground analyze --format json`.
//!
//! Addresses are hexadecimal strings (`0x401136`) so that no JSON reader rounds them.
//! Kinds and trusts are closed words: new ones may be added, none renamed.

mod site;
mod wait;

pub use site::{CodeLine, MemoryRange, RegisterUse, Site};
pub use wait::{Wait, alike};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The version of this file's format. Readers accept unknown fields.
pub const REPORT_SCHEMA: u32 = 1;

/// An address in the crashed process.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(into = "String", try_from = "String")]
pub struct Address(pub u64);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl TryFrom<String> for Address {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(text.strip_prefix("0x").unwrap_or(&text), 16).map(Address)
    }
}

/// Everything analysis concluded about one core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`REPORT_SCHEMA`] of the writer.
    pub schema: u32,
    /// The core itself.
    pub core: CoreFacts,
    /// The process.
    pub process: ProcessFacts,
    /// Why it died.
    pub cause: Cause,
    /// The code and memory at the place of the crash; `None` when no instruction is to blame.
    #[serde(default)]
    pub site: Option<Site>,
    /// All threads, the crashed one first.
    pub threads: Vec<Thread>,
    /// Threads that wait for each other in a circle, by thread id: each waits for the next, the
    /// last for the first.
    #[serde(default)]
    pub deadlocks: Vec<Vec<i32>>,
    /// All ELF objects that were mapped.
    pub modules: Vec<Module>,
    /// Stacks of managed languages, as their runtimes see them.
    #[serde(default)]
    pub runtimes: Vec<Runtime>,
    /// What groups this crash with others.
    pub signature: Signature,
    /// Which analysis of the dump this is, from 1: better symbols make another. Counted by
    /// whoever keeps the report; 0 where nobody does.
    #[serde(default)]
    pub revision: u32,
    /// What a stopped analysis left out; `None` for one that came to its end.
    #[serde(default)]
    pub partial: Option<Partial>,
    /// What the reader must know before trusting this, a plain sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What an analysis had not done when it was stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partial {
    /// What is missing, the end of a sentence: `the names of functions and source lines`.
    pub missing: String,
    /// Why it was stopped, a sentence's end; empty in a draft, which nobody has stopped yet.
    #[serde(default)]
    pub reason: String,
}

/// Facts about the core file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreFacts {
    /// Architecture: `x86_64`, `aarch64`, `i386`, …
    pub arch: String,
    /// Size in bytes, uncompressed.
    pub size: u64,
    /// `full`, `partial` or `none`.
    pub kept: String,
    /// Whether program headers announce more bytes than there are.
    pub truncated: bool,
}

/// Facts about the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFacts {
    /// Process id as the core gives it.
    pub pid: i32,
    /// Path of the executable.
    pub executable: Option<String>,
    /// Command line.
    #[serde(default)]
    pub args: Vec<String>,
    /// The signal that killed it.
    pub signal: Signal,
}

/// The signal, its code and address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Number.
    pub number: i32,
    /// Name, such as `SIGSEGV`.
    pub name: String,
    /// `si_code`, when the core says it.
    pub code: Option<i32>,
    /// Its name, such as `SEGV_MAPERR`.
    pub code_name: Option<String>,
    /// Faulting address, for signals that have one.
    pub address: Option<Address>,
    /// Sender's process id, for signals sent by a process.
    pub sender_pid: Option<i32>,
    /// Sender's user id.
    pub sender_uid: Option<u32>,
    /// The system call that SIGSYS is about: its name, or `number N`.
    #[serde(default)]
    pub system_call: Option<String>,
}

/// Why the process died.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// Closed word, see DESIGN section 5: `null-dereference`, `assertion`, `panic`, …
    pub kind: String,
    /// One line a person understands: `write to 0x0 in parse_header`.
    pub title: String,
    /// `read`, `write` or `execute`.
    pub access: Option<String>,
    /// The crashing instruction, disassembled (Intel syntax).
    pub instruction: Option<String>,
    /// What the program said: assert text, panic message, exception type and `what()`.
    pub message: Option<String>,
    /// Where the program itself says that it was: `file:line:column` of a Rust panic, which is told
    /// without symbols too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// `certain`, `likely` or `guess`.
    pub confidence: String,
    /// What the conclusion rests on, a sentence each.
    #[serde(default)]
    pub evidence: Vec<String>,
}

/// One thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Thread id as the core gives it.
    pub tid: i32,
    /// Thread name, when the record knows it.
    pub name: Option<String>,
    /// Whether this thread received the signal.
    pub crashed: bool,
    /// Registers by name.
    pub registers: BTreeMap<String, Address>,
    /// Innermost first; inlined frames come before the physical frame that holds them.
    pub frames: Vec<Frame>,
    /// Why the stack ends before its outermost frame; `None` when it is whole.
    #[serde(default)]
    pub incomplete: Option<String>,
    /// What the thread waits for, where that can be told.
    #[serde(default)]
    pub waits_for: Option<Wait>,
}

/// One frame of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Position in the thread's stack, inlined frames counted, as in gdb.
    pub index: usize,
    /// Program counter: the interrupted instruction, or the return address.
    pub pc: Address,
    /// Path of the module it lies in.
    pub module: Option<String>,
    /// The module's build ID.
    pub build_id: Option<String>,
    /// pc as an address of the module's own address space (pc minus load bias).
    pub offset: Option<Address>,
    /// Where its function begins in the module's own address space, by call frame information,
    /// which stripped programs have too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<Address>,
    /// Demangled function name.
    pub function: Option<String>,
    /// Name as the linker sees it.
    pub linkage_name: Option<String>,
    /// Source file as the debug information names it.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// Whether the compiler inlined this function into the frame below.
    pub inline: bool,
    /// How the frame was found.
    pub trust: Trust,
    /// Whether the frame belongs to the application rather than to system libraries.
    pub in_app: bool,
    /// Whether this frame was entered by a signal: the frame is the kernel's trampoline.
    #[serde(default)]
    pub signal_trampoline: bool,
    /// Source lines around `line`, when the source was at hand.
    #[serde(default)]
    pub source: Vec<SourceLine>,
    /// Arguments and local variables, as far as debug information describes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variables: Vec<Variable>,
}

/// An argument or local variable of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name in the source.
    pub name: String,
    /// Its type, as the source names it.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// Its value as text, or in angle brackets why there is none: `<optimized out>`,
    /// `<not in the core>`, `<not known>`.
    pub value: String,
    /// Whether it is an argument of the function.
    #[serde(default)]
    pub argument: bool,
}

/// A line of source text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLine {
    /// Number from 1.
    pub number: u32,
    /// Text without its line end.
    pub text: String,
}

/// How a frame was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// From the thread's registers.
    Context,
    /// By call frame information.
    Cfi,
    /// By machine code: the function's own instructions, followed to its return or from its start,
    /// or the call that led to it.
    Code,
    /// By the frame pointer chain.
    FramePointer,
    /// Found on the stack by its looks: a guess.
    #[default]
    Scan,
}

impl Trust {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Trust::Context => "context",
            Trust::Cfi => "cfi",
            Trust::Code => "code",
            Trust::FramePointer => "frame-pointer",
            Trust::Scan => "scan",
        }
    }
}

/// An ELF object that was mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Path as seen by the process.
    pub path: String,
    /// Build ID, lowercase hexadecimal, from the process's memory where it is there.
    pub build_id: Option<String>,
    /// Lowest mapped address.
    pub base: Address,
    /// First address after the last mapping.
    pub end: Address,
    /// Where the file's bytes came from: `captured`, `given`, `sysroot`, `host`, `memory`,
    /// or `missing`.
    pub image: String,
    /// What symbols there are: `dwarf`, `symtab`, `dynsym`, `pclntab` or `none`.
    pub debug: String,
    /// Where a separate file of debug information came from: `uploaded`, `debuginfod`, or as
    /// `image`; `None` when there is none.
    #[serde(default)]
    pub debug_from: Option<String>,
    /// Files that would name its frames better, each by what identifies it: the build ID of its
    /// debug information or of what that shares with others (dwz). Empty when it has no frames.
    #[serde(default)]
    pub wanted: Vec<String>,
    /// What is wrong with the file, for example that its build ID differs.
    #[serde(default)]
    pub problem: Option<String>,
}

/// Stacks of a managed language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runtime {
    /// `go`, `node`, `python`, `java`.
    pub language: String,
    /// The runtime's version, when it says so.
    pub version: Option<String>,
    /// Its threads.
    #[serde(default)]
    pub threads: Vec<Thread>,
}

/// What groups this crash with others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Version of the algorithm and rules.
    pub version: u32,
    /// What tells the service's own rules from others; empty where it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rules: String,
    /// `symbolic` (function names), `offsets` (module build ID and offset) or `facts` (no stack);
    /// the service may put `label` in its place.
    pub kind: String,
    /// Readable: `parse_header | handle_request`.
    pub title: String,
    /// What the cause looks like, coarsely, with the words that are the bug's own: `memory`,
    /// `assertion: n < N`.
    #[serde(default)]
    pub class: String,
    /// SHA-256 over kind, class and kept frames, lowercase hexadecimal.
    pub hash: String,
    /// How many innermost frames ran after the fact, in handlers of the signal that tells it.
    #[serde(default)]
    pub handler_frames: usize,
    /// Where the program itself says that it was, with the program's name. Two crashes of one class
    /// that say the same place are one bug; it is no part of the hash, as lines move.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Every frame that was looked at and what became of it.
    pub frames: Vec<SignatureFrame>,
}

/// What grouping made of one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignatureFrame {
    /// Normalized function name, or `module+0xoffset`.
    pub function: String,
    /// What counts in its place where that is not the function: build ID and offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether it counts.
    pub kept: bool,
    /// The rule that dropped it.
    pub rule: Option<String>,
    /// The rule that says that it never decides alone: its caller must be the same too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<String>,
    /// Whether its code was found inside its caller's: other builds may not tell the two apart.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inlined: bool,
    /// Whether nothing tells what was inlined into it: it has a symbol, but no debug information.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub opaque: bool,
}

impl SignatureFrame {
    /// What is compared of it when it counts.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.function)
    }
}
