//! Reads a core's notes: threads and their registers, the signal, the mapped files.
//!
//! Layouts are those of `struct elf_prstatus`, `struct elf_prpsinfo`, `siginfo_t` and the
//! description of `NT_FILE` in Linux's `fs/binfmt_elf.c`. Sizes are the file's word on nothing:
//! each note is read up to a limit and each field only where there are bytes for it.

use super::elf::number;
use crate::arch::{Arch, Registers};

const NT_PRSTATUS: u32 = 1;
const NT_PRPSINFO: u32 = 3;
const NT_AUXV: u32 = 6;
const NT_SIGINFO: u32 = 0x5349_4749;
const NT_FILE: u32 = 0x4649_4c45;
const NT_ARM_PAC_MASK: u32 = 0x406;

/// More threads than a process can have by default (`threads-max` of large machines).
const THREADS_MAX: usize = 1 << 18;
/// More file mappings than `max_map_count` allows on any sane machine.
const FILES_MAX: u64 = 1 << 20;

/// All that the notes say.
#[derive(Debug, Default)]
pub struct Notes {
    /// Threads in the core's order: a kernel puts the one that got the signal first.
    pub threads: Vec<ThreadNote>,
    /// The signal's details: of the first thread.
    pub siginfo: Option<SigInfo>,
    /// The process's name and arguments as `ps` shows them.
    pub psinfo: Option<PsInfo>,
    /// The auxiliary vector.
    pub auxv: Vec<(u64, u64)>,
    /// Mapped files, in order of address.
    pub files: Vec<FileMapping>,
    /// Bits of a code address that may hold a pointer authentication code.
    pub code_mask: Option<u64>,
}

/// One `NT_PRSTATUS`.
#[derive(Debug)]
pub struct ThreadNote {
    /// Thread id.
    pub tid: i32,
    /// Its registers.
    pub registers: Registers,
    /// The signal the thread was dumped with.
    pub signal: i32,
}

/// `NT_SIGINFO`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SigInfo {
    /// `si_signo`.
    pub number: i32,
    /// `si_code`.
    pub code: i32,
    /// The union's first word: `si_addr` of faults.
    pub address: u64,
    /// `si_pid` of sent signals.
    pub pid: i32,
    /// `si_uid` of sent signals.
    pub uid: u32,
    /// `si_syscall` of SIGSYS.
    pub system_call: i32,
    /// `si_arch` of SIGSYS.
    pub audit_arch: u32,
}

/// `NT_PRPSINFO`.
#[derive(Clone, Debug, Default)]
pub struct PsInfo {
    /// Process id.
    pub pid: i32,
    /// The first 15 bytes of the name.
    pub name: String,
    /// The first 79 bytes of the arguments.
    pub arguments: String,
}

/// One entry of `NT_FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMapping {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Path as the process saw it.
    pub path: String,
}

/// How many bytes of a note of this kind are worth reading.
pub(super) fn wanted(kind: u32) -> usize {
    match kind {
        NT_PRSTATUS | NT_PRPSINFO | NT_SIGINFO | NT_ARM_PAC_MASK => 4096,
        NT_AUXV => 16 << 10,
        NT_FILE => 64 << 20,
        _ => 0,
    }
}

impl Notes {
    /// Takes in one note.
    pub(super) fn add(&mut self, arch: &'static Arch, name: &[u8], kind: u32, bytes: &[u8]) {
        match (name, kind) {
            (b"CORE", NT_PRSTATUS) if self.threads.len() < THREADS_MAX => {
                self.threads.push(thread(arch, bytes));
            }
            (b"CORE", NT_PRPSINFO) => self.psinfo = Some(psinfo(arch, bytes)),
            (b"CORE", NT_SIGINFO) if self.siginfo.is_none() => {
                self.siginfo = Some(siginfo(arch, bytes));
            }
            (b"CORE", NT_AUXV) => self.auxv = auxv(arch, bytes),
            (b"CORE", NT_FILE) => self.files = files(arch, bytes),
            // data_mask, then insn_mask.
            (b"LINUX", NT_ARM_PAC_MASK) if bytes.len() >= 16 => {
                self.code_mask = Some(number(bytes, 8, 8));
            }
            _ => {}
        }
    }

    /// A value of the auxiliary vector.
    pub fn auxiliary(&self, key: u64) -> Option<u64> {
        self.auxv
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| *value)
    }
}

fn signed(bytes: &[u8], offset: usize) -> i32 {
    bytes
        .get(offset..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |b| i32::from_le_bytes(*b))
}

fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn thread(arch: &'static Arch, bytes: &[u8]) -> ThreadNote {
    let mut registers = Registers::default();
    for (index, &register) in arch.prstatus.iter().enumerate() {
        let offset = arch.prstatus_registers + index * arch.word;
        if bytes.len() >= offset + arch.word {
            registers.set(register, Some(number(bytes, offset, arch.word)));
        }
    }
    let signal = i32::from(u16::try_from(number(bytes, 12, 2)).unwrap_or(0));
    ThreadNote {
        tid: signed(bytes, arch.prstatus_pid),
        registers,
        signal,
    }
}

fn siginfo(arch: &Arch, bytes: &[u8]) -> SigInfo {
    let union = if arch.word == 8 { 16 } else { 12 };
    SigInfo {
        number: signed(bytes, 0),
        code: signed(bytes, 8),
        address: number(bytes, union, arch.word),
        pid: signed(bytes, union),
        uid: u32::try_from(number(bytes, union + 4, 4)).unwrap_or(0),
        system_call: signed(bytes, union + arch.word),
        audit_arch: u32::try_from(number(bytes, union + arch.word + 4, 4)).unwrap_or(0),
    }
}

fn psinfo(arch: &Arch, bytes: &[u8]) -> PsInfo {
    let (pid, name) = if arch.word == 8 { (24, 40) } else { (12, 28) };
    let field = |start: usize, length| {
        text(
            bytes
                .get(start..)
                .unwrap_or(&[])
                .get(..length)
                .unwrap_or(&[]),
        )
    };
    PsInfo {
        pid: signed(bytes, pid),
        name: field(name, 16),
        arguments: field(name + 16, 80),
    }
}

fn auxv(arch: &Arch, bytes: &[u8]) -> Vec<(u64, u64)> {
    let pair = |entry: &[u8]| {
        (
            number(entry, 0, arch.word),
            number(entry, arch.word, arch.word),
        )
    };
    bytes
        .chunks_exact(2 * arch.word)
        .map(pair)
        .take_while(|(key, _)| *key != 0)
        .collect()
}

/// `count`, `page_size`, `count` × (`start`, `end`, `page offset`), `count` × zero-ended path.
fn files(arch: &Arch, bytes: &[u8]) -> Vec<FileMapping> {
    let word = |index: usize| {
        index
            .checked_mul(arch.word)
            .map_or(0, |offset| number(bytes, offset, arch.word))
    };
    let (count, page) = (word(0).min(FILES_MAX), word(1));
    let count = usize::try_from(count)
        .unwrap_or(0)
        .min(bytes.len() / (3 * arch.word));
    let mut names = bytes
        .get((2 + 3 * count) * arch.word..)
        .unwrap_or(&[])
        .split(|&byte| byte == 0);
    let mut files = Vec::with_capacity(count);
    for index in 0..count {
        let [start, end, offset] = [0, 1, 2].map(|field| word(2 + 3 * index + field));
        let path = names
            .next()
            .map(|name| String::from_utf8_lossy(name).into_owned());
        let Some((path, offset)) = path.zip(offset.checked_mul(page)) else {
            break;
        };
        if start < end {
            files.push(FileMapping {
                start,
                end,
                offset,
                path,
            });
        }
    }
    files.sort_by_key(|file| file.start);
    files
}
