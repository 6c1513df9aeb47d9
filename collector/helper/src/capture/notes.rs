//! Reads the notes of a core as they stream by: where every thread stood, the auxiliary vector,
//! and which addresses were files. Keeps a bounded part of each note, whatever they say.
//!
//! Layouts are the kernel's: `struct elf_prstatus` (include/linux/elfcore.h) with the registers of
//! `elf_gregset_t` per architecture, and `fill_files_note` in `fs/binfmt_elf.c`.

use super::live::word;

/// Most bytes held of a note; those of a file list, and of any other.
const MAX_FILES: usize = 2 << 20;
const MAX_NOTE: usize = 16 * 1024;
/// Most threads remembered.
const MAX_THREADS: usize = 65_536;
/// Most threads whose registers are remembered, beyond the two that say where its stack is.
const MAX_WITH_REGISTERS: usize = 2048;

const NT_PRSTATUS: u32 = 1;
const NT_AUXV: u32 = 6;
/// `FILE` in ASCII.
const NT_FILE: u32 = 0x4649_4c45;
const NT_ARM_TLS: u32 = 0x401;

/// How a machine's `elf_prstatus` is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of a word.
    pub word: usize,
    /// Where the registers begin.
    registers: usize,
    /// How many there are.
    count: usize,
    /// Which of them is the stack pointer.
    stack_pointer: usize,
    /// Which of them is the thread pointer; elsewhere it is in a note of its own, or unknown.
    thread_pointer: Option<usize>,
}

impl Layout {
    /// The layout for an `e_machine`; `None` for machines we do not know.
    pub fn of(machine: u16) -> Option<Self> {
        let (word, registers, count, stack_pointer, thread_pointer) = match machine {
            // r15 … rip cs eflags rsp ss fs_base …
            62 => (8, 112, 27, 19, Some(21)),
            // ebx … eip cs eflags esp ss
            3 => (4, 72, 17, 15, None),
            // x0 … x30 sp pc pstate
            183 => (8, 112, 34, 31, None),
            // pc ra sp gp tp …
            243 => (8, 112, 32, 2, Some(4)),
            // r0 … r15 cpsr orig_r0
            40 => (4, 72, 18, 13, None),
            _ => return None,
        };
        Some(Self {
            word,
            registers,
            count,
            stack_pointer,
            thread_pointer,
        })
    }
}

/// Where a thread stood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thread {
    /// The stack pointer.
    pub stack_pointer: u64,
    /// The address of its control block (the thread pointer), 0 when not known.
    pub control_block: u64,
    /// All registers; empty for threads beyond the first thousands.
    pub registers: Vec<u64>,
}

/// What the notes say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoteFacts {
    /// Threads; the one that crashed is the first.
    pub threads: Vec<Thread>,
    /// The auxiliary vector: types and values.
    pub auxv: Vec<(u64, u64)>,
    /// Address ranges that were files, in order of address.
    pub files: Vec<(u64, u64)>,
}

impl NoteFacts {
    /// The value of an entry of the auxiliary vector.
    pub fn auxiliary(&self, kind: u64) -> Option<u64> {
        let entry = self.auxv.iter().find(|(found, _)| *found == kind);
        entry.map(|(_, value)| *value)
    }
}

/// Takes notes in pieces of any size.
pub struct NoteScanner {
    layout: Layout,
    facts: NoteFacts,
    /// The beginning of the current note.
    note: Vec<u8>,
    /// Bytes of the current note that went by.
    seen: u64,
}

/// Sizes in a note's header.
#[derive(Clone, Copy)]
struct Note {
    kind: u32,
    /// Where the description begins.
    start: u64,
    /// Where it ends.
    end: u64,
    /// Where the next note begins.
    next: u64,
}

const HEADER: usize = 12;

impl NoteScanner {
    /// A scanner for the notes of a core with this layout.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            facts: NoteFacts::default(),
            note: Vec::new(),
            seen: 0,
        }
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let taken = self.feed_one(bytes);
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// What was found; a note that was cut is not used.
    pub fn finish(self) -> NoteFacts {
        self.facts
    }

    /// Takes bytes of one note; returns how many.
    fn feed_one(&mut self, bytes: &[u8]) -> usize {
        let until = self.header().map_or(length(HEADER), |note| note.next);
        let missing = until.saturating_sub(self.seen);
        let taken = usize::try_from(missing)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let most = match self.header() {
            Some(note) if note.kind == NT_FILE => MAX_FILES,
            _ => MAX_NOTE,
        };
        let room = most.saturating_sub(self.note.len()).min(taken);
        self.note
            .extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.seen = self.seen.saturating_add(length(taken));
        if let Some(note) = self.header().filter(|note| self.seen >= note.next) {
            self.understand(note);
            self.note.clear();
            self.seen = 0;
        }
        taken
    }

    fn header(&self) -> Option<Note> {
        let field = |at: usize| {
            let four = self.note.get(at..at.checked_add(4)?)?;
            Some(word(four))
        };
        let (name, description, kind) = (field(0)?, field(4)?, field(8)?);
        let start = length(HEADER)
            .checked_add(name)?
            .checked_next_multiple_of(4)?;
        let end = start.checked_add(description)?;
        Some(Note {
            kind: u32::try_from(kind).ok()?,
            start,
            end,
            next: end.checked_next_multiple_of(4)?,
        })
    }

    fn understand(&mut self, note: Note) {
        let held = self.note.len();
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(held);
        let description = self
            .note
            .get(at(note.start)..at(note.end))
            .unwrap_or_default();
        match note.kind {
            NT_PRSTATUS => {
                let with_registers = self.facts.threads.len() < MAX_WITH_REGISTERS;
                let thread = thread(&self.layout, description, with_registers);
                let room = self.facts.threads.len() < MAX_THREADS;
                self.facts.threads.extend(thread.filter(|_| room));
            }
            NT_ARM_TLS => {
                if let (Some(thread), Some(pointer)) =
                    (self.facts.threads.last_mut(), description.get(..8))
                {
                    thread.control_block = word(pointer);
                }
            }
            NT_AUXV => {
                let words: Vec<u64> = description
                    .chunks_exact(self.layout.word)
                    .map(word)
                    .collect();
                let pairs = words.chunks_exact(2).map(|pair| (pair[0], pair[1]));
                self.facts.auxv = pairs.take_while(|(kind, _)| *kind != 0).collect();
            }
            NT_FILE => self.facts.files = files(&self.layout, description),
            _ => {}
        }
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn thread(layout: &Layout, status: &[u8], with_registers: bool) -> Option<Thread> {
    let end = layout
        .count
        .checked_mul(layout.word)?
        .checked_add(layout.registers)?;
    let registers = status.get(layout.registers..end)?;
    let registers: Vec<u64> = registers.chunks_exact(layout.word).map(word).collect();
    let register = |index: usize| registers.get(index).copied();
    let pointer = layout.thread_pointer.and_then(register);
    Some(Thread {
        stack_pointer: register(layout.stack_pointer)?,
        control_block: pointer.unwrap_or(0),
        registers: if with_registers {
            registers
        } else {
            Vec::new()
        },
    })
}

/// Count, page size, and as many triples of start, end and offset.
fn files(layout: &Layout, list: &[u8]) -> Vec<(u64, u64)> {
    let mut words = list.chunks_exact(layout.word).map(word);
    let count = words.next().unwrap_or(0);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    words.next();
    let mut ranges = Vec::new();
    while let (Some(start), Some(end), Some(_)) = (words.next(), words.next(), words.next()) {
        if ranges.len() >= count {
            break;
        }
        ranges.push((start, end));
    }
    ranges
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn note(kind: u32, description: &[u8]) -> Vec<u8> {
        let mut note = Vec::new();
        for word in [5, u32::try_from(description.len()).unwrap(), kind] {
            note.extend(word.to_ne_bytes());
        }
        note.extend(b"CORE\0\0\0\0");
        note.extend(description);
        note.resize(note.len().next_multiple_of(4), 0);
        note
    }

    fn status(layout: &Layout, first: u64) -> Vec<u8> {
        let mut status = vec![0; layout.registers];
        for index in 0..layout.count as u64 {
            status.extend(&(first + index).to_ne_bytes()[..layout.word]);
        }
        status.extend([0; 8]);
        status
    }

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn notes_are_understood_in_pieces_of_any_size() {
        let layout = Layout::of(62).unwrap();
        let notes = [
            note(NT_PRSTATUS, &status(&layout, 1000)),
            note(3, &[7; 137]),
            note(NT_AUXV, &words(&[3, 0x40, 33, 0x7000, 0, 0, 9, 9])),
            note(
                NT_FILE,
                &words(&[2, 4096, 0x1000, 0x2000, 0, 0x3000, 0x5000, 1]),
            ),
            note(0x202, &[1; 3000]),
            note(NT_PRSTATUS, &status(&layout, 2000)),
        ]
        .concat();
        for piece in [1, 2, 3, 7, 100, 4096, notes.len()] {
            let mut scanner = NoteScanner::new(layout);
            notes.chunks(piece).for_each(|bytes| scanner.feed(bytes));
            let facts = scanner.finish();
            assert_eq!(facts.threads.len(), 2, "pieces of {piece}");
            assert_eq!(facts.threads[1].stack_pointer, 2019);
            assert_eq!(facts.threads[0].control_block, 1021);
            assert_eq!(facts.threads[0].registers.len(), 27);
            assert_eq!(facts.auxiliary(33), Some(0x7000));
            assert_eq!(facts.auxiliary(9), None);
            assert_eq!(facts.files, [(0x1000, 0x2000), (0x3000, 0x5000)]);
        }
    }

    #[test]
    fn every_machine_has_its_stack_pointer() {
        for (machine, index) in [(62, 19), (3, 15), (183, 31), (243, 2), (40, 13)] {
            let layout = Layout::of(machine).unwrap();
            let mut scanner = NoteScanner::new(layout);
            scanner.feed(&note(NT_PRSTATUS, &status(&layout, 500)));
            assert_eq!(scanner.finish().threads[0].stack_pointer, 500 + index);
        }
        assert_eq!(Layout::of(22), None);
    }

    #[test]
    fn the_thread_pointer_of_arm64_is_a_note_of_its_own() {
        let layout = Layout::of(183).unwrap();
        let mut scanner = NoteScanner::new(layout);
        scanner.feed(&note(NT_ARM_TLS, &words(&[1])));
        scanner.feed(&note(NT_PRSTATUS, &status(&layout, 1)));
        scanner.feed(&note(NT_ARM_TLS, &words(&[0xabc])));
        assert_eq!(scanner.finish().threads[0].control_block, 0xabc);
    }

    #[test]
    fn absurd_notes_cost_no_memory() {
        let layout = Layout::of(62).unwrap();
        for junk in [vec![0xff; 5000], vec![0; 5000], note(NT_PRSTATUS, &[1; 20])] {
            let mut scanner = NoteScanner::new(layout);
            for _ in 0..2000 {
                scanner.feed(&junk);
            }
            assert!(scanner.note.capacity() <= 4 << 20);
            assert_eq!(scanner.finish(), NoteFacts::default());
        }
        let mut scanner = NoteScanner::new(layout);
        scanner.feed(&note(NT_FILE, &words(&[u64::MAX, 4096, 1, 2])));
        assert_eq!(scanner.finish().files, []);
    }
}
