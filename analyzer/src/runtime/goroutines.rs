//! Lists the goroutines of a Go process: those that wait, too, which are on no thread.
//!
//! `runtime.allgs` has all of them. In stripped programs it is found by its looks: a slice in the
//! program's own data, all of whose pointers lead to goroutines. A goroutine (`struct g` in
//! `src/runtime/runtime2.go`) is known by `g.sched`, which holds a pointer to the goroutine itself;
//! where the fields behind that are depends on the version, and is told by the first goroutines'
//! numbers, 1 and 2.

use crate::address::CodeAddress;
use crate::arch::Registers;
use crate::image::Object;
use crate::modules::Module;
use crate::report::Trust;
use crate::space::Space;
use crate::unwind::{Stack, StackFrame, Unwinder};
use std::collections::HashSet;

/// Goroutines listed; the rest are counted.
pub const GOROUTINES_MAX: usize = 1000;
/// Words of a program's data searched for the list.
const WORDS_MAX: u64 = 4 << 20;
/// A longer list is read no further.
const LIST_MAX: u64 = 1 << 20;
/// Frames of one goroutine.
const FRAMES_MAX: usize = 256;
const WORD: u64 = 8;
const SCHED: u64 = 56;
/// Where `goid` may be.
const GOID: std::ops::Range<u64> = 16..28;
/// Sections that hold `runtime.allgs`, the likeliest first.
const DATA: [&str; 4] = [".bss", ".noptrbss", ".data", ".noptrdata"];

/// What the scheduler does with a goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Waits for a processor.
    Runnable,
    /// Runs on a thread.
    Running,
    /// Is in a system call, on a thread.
    InSystemCall,
    /// Waits for something else.
    Waiting,
    /// Was stopped in the middle.
    Preempted,
}

impl Status {
    /// As Go prints it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Runnable => "runnable",
            Status::Running => "running",
            Status::InSystemCall => "syscall",
            Status::Waiting => "waiting",
            Status::Preempted => "preempted",
        }
    }

    /// `g.atomicstatus`, without the bit of the garbage collector. Goroutines that are not in use
    /// have none of these.
    fn of(word: u64) -> Option<Self> {
        const SCAN: u64 = 0x1000;
        Some(match word & !SCAN {
            1 => Status::Runnable,
            2 => Status::Running,
            3 => Status::InSystemCall,
            4 => Status::Waiting,
            9 => Status::Preempted,
            _ => return None,
        })
    }
}

/// A goroutine and its stack.
#[derive(Debug)]
pub struct Goroutine {
    /// Its number.
    pub id: u64,
    /// What it does.
    pub status: Status,
    /// Innermost first.
    pub stack: Stack,
}

/// The goroutines of a Go program in use, by number, and how many there are beside those listed.
/// `None` when their list cannot be found. `stacks` are those of the threads, on which some
/// goroutines run; `symbol` is where `runtime.allgs` is, if that is known.
pub fn list(
    space: &Space<'_>,
    program: &Module<'_>,
    unwinder: &mut Unwinder<'_, '_>,
    stacks: &[Stack],
    symbol: Option<u64>,
) -> Option<(Vec<Goroutine>, usize)> {
    let memory = Memory(space);
    let all = memory.all(program, symbol)?;
    let place_of_id = memory.place_of_id(&all)?;
    let mut known: Vec<(u64, u64, Status)> = Vec::new();
    known.extend(all.iter().filter_map(|&g| {
        let id = memory.word(g, place_of_id)?;
        // The status, a lock, then the number.
        let status = memory.word(g, place_of_id - WORD)? & u64::from(u32::MAX);
        Some((id, g, Status::of(status)?))
    }));
    known.sort_unstable_by_key(|(id, _, _)| *id);
    let left_out = known.len().saturating_sub(GOROUTINES_MAX);
    known.truncate(GOROUTINES_MAX);
    let walked = known.into_iter().filter_map(|(id, g, status)| {
        let stack = memory.stack(unwinder, stacks, g, status)?;
        Some(Goroutine { id, status, stack })
    });
    Some((walked.collect(), left_out))
}

struct Memory<'s, 'a>(&'s Space<'a>);

impl Memory<'_, '_> {
    fn word(&self, base: u64, offset: u64) -> Option<u64> {
        self.0.read_word(base.checked_add(offset)?)
    }

    /// `g.sched`, by the pointer to the goroutine in it.
    fn sched(&self, g: u64) -> Option<u64> {
        if g == 0 || !g.is_multiple_of(WORD) {
            return None;
        }
        let places = (0..4).map(|index| SCHED + index * WORD);
        let mut places = places.filter(|at| self.word(g, at + 2 * WORD) == Some(g));
        places.next()
    }

    /// All goroutines, by the symbol of the list or by its looks.
    fn all(&self, module: &Module<'_>, symbol: Option<u64>) -> Option<Vec<u64>> {
        if let Some(address) = symbol {
            return self.slice(address);
        }
        let object = module.object.as_ref()?;
        DATA.iter().find_map(|name| {
            let (start, size) = extent(object, name)?;
            let start = start.wrapping_add(module.bias);
            let mut words = (0..(size / WORD).min(WORDS_MAX)).map(|index| start + index * WORD);
            words.find_map(|at| self.slice(at))
        })
    }

    /// A slice of pointers to goroutines, none twice, with at least the two that every program has.
    fn slice(&self, at: u64) -> Option<Vec<u64>> {
        let length = self.word(at, WORD)?;
        let capacity = self.word(at, 2 * WORD)?;
        if length < 2 || length > capacity || capacity > 1 << 32 {
            return None;
        }
        let first = self.word(at, 0)?;
        let is_first = |g: u64| self.sched(g).is_some();
        if !is_first(self.word(first, 0)?) {
            return None;
        }
        let mut known = HashSet::new();
        let mut all = Vec::new();
        for index in 0..length.min(LIST_MAX) {
            let g = self.word(first, index * WORD)?;
            self.sched(g)?;
            if !known.insert(g) {
                return None;
            }
            all.push(g);
        }
        Some(all)
    }

    /// The main goroutine, which is the list's first, has the number 1, the next one 2.
    fn place_of_id(&self, all: &[u64]) -> Option<u64> {
        let numbered = |place: &u64| {
            let mut pairs = all.iter().zip(1..).take(2);
            pairs.all(|(g, number)| self.word(*g, *place) == Some(number))
        };
        GOID.map(|index| index * WORD).find(numbered)
    }

    /// A thread's stack from where it is on the goroutine's; else from where the goroutine stopped.
    fn stack(
        &self,
        unwinder: &mut Unwinder<'_, '_>,
        stacks: &[Stack],
        g: u64,
        status: Status,
    ) -> Option<Stack> {
        let arch = self.0.core.arch;
        let [low, high] = [self.word(g, 0)?, self.word(g, WORD)?];
        let on_it = |frame: &StackFrame| {
            let sp = frame.registers.get(arch.sp);
            sp.is_some_and(|sp| (low..high).contains(&sp))
        };
        if matches!(status, Status::Running | Status::InSystemCall) {
            let found = stacks.iter().find_map(|stack| {
                let first = stack.frames.iter().position(on_it)?;
                let frames = stack.frames.get(first..)?;
                let incomplete = stack.incomplete.clone();
                Some((frames, incomplete))
            });
            return found.map(|(frames, incomplete)| Stack {
                frames: frames.iter().take(FRAMES_MAX).cloned().collect(),
                incomplete: cut(frames.len()).or(incomplete),
            });
        }
        let sched = self.sched(g)?;
        let mut registers = Registers::default();
        let pc = self.word(g, sched + WORD)?;
        registers.set(arch.sp, self.word(g, sched));
        registers.set(arch.pc, Some(pc));
        // ctxt, ret (until Go 1.24), lr, bp
        let pointers = [6, 5].map(|index| self.word(g, sched + index * WORD));
        let fp = pointers
            .into_iter()
            .flatten()
            .find(|fp| (low..high).contains(fp));
        registers.set(arch.fp, fp);
        let mut stack = unwinder.walk_from(StackFrame {
            address: CodeAddress::Return(pc),
            trust: Trust::Context,
            trampoline: false,
            entry: None,
            registers,
        });
        stack.incomplete = cut(stack.frames.len()).or(stack.incomplete);
        stack.frames.truncate(FRAMES_MAX);
        Some(stack)
    }
}

fn cut(frames: usize) -> Option<String> {
    (frames > FRAMES_MAX).then(|| format!("more than {FRAMES_MAX} frames"))
}

/// Address and size of a section, which need not have content.
fn extent(object: &Object<'_>, name: &str) -> Option<(u64, u64)> {
    use object::{Object as _, ObjectSection as _};
    let section = object.file.section_by_name(name)?;
    Some((section.address(), section.size()))
}
