//! Chooses the memory of a lean core: what a debugger needs for every thread's backtrace, and what
//! explains the crash. The most telling first, until the budget is used up or the time is over.

use super::link_map;
use crate::capture::live::{Memory, word};
use crate::capture::notes::{NoteFacts, Thread};
use std::collections::BTreeMap;
use std::time::Instant;

/// Bytes below the stack pointer that a function may use (x86-64 psABI, 3.2.2).
const RED_ZONE: u64 = 128;
/// Most of the crashed thread's stack, and of any other's at first and at last.
const CRASHED_STACK: u64 = 16 << 20;
const FIRST_STACK: u64 = 256 << 10;
const WHOLE_STACK: u64 = 8 << 20;
/// Around a thread pointer: the thread's static TLS lies below or above its control block.
const TLS: u64 = 8 << 10;
/// How much of a stack is searched for pointers, of the crashed thread's and of others'.
const CRASHED_SEARCH: u64 = 256 << 10;
const SEARCH: u64 = 16 << 10;
/// What is kept around an address that a stack or a register of the crashed thread holds.
const NEAR: Window = Window {
    before: 256,
    after: 1024,
};
/// The same for addresses found further away.
const FAR: Window = Window {
    before: 0,
    after: 256,
};
/// Most of one module's data, and of the zeroed data behind it.
const MODULE_DATA: u64 = 4 << 20;
const MODULE_BSS: u64 = 1 << 20;
/// Most separate pieces; each costs a program header.
const MAX_PIECES: usize = 32_768;

/// Auxiliary vector (include/uapi/linux/auxvec.h): the vDSO, and an address on the first stack.
const AT_SYSINFO_EHDR: u64 = 33;
const AT_RANDOM: u64 = 25;

/// A range of memory that the kernel dumps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// First address.
    pub start: u64,
    /// First address after what is dumped of it.
    pub end: u64,
    /// First address after the mapping.
    pub mapped_end: u64,
    /// Whether the process could write to it.
    pub writable: bool,
}

#[derive(Clone, Copy)]
struct Window {
    before: u64,
    after: u64,
}

/// What was chosen.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selected {
    /// Ranges that do not touch each other, start to end.
    pub pieces: BTreeMap<u64, u64>,
    /// Why not all that was wanted, a phrase.
    pub cut: Option<&'static str>,
}

/// Chooses at most `budget` bytes among `loads`, which are in order of address and apart.
pub fn select(
    memory: &impl Memory,
    loads: &[Load],
    facts: &NoteFacts,
    word_size: usize,
    budget: u64,
    deadline: Instant,
) -> Selected {
    let mut selection = Selection {
        memory,
        loads,
        word_size,
        left: budget,
        deadline,
        selected: Selected::default(),
    };
    selection.run(facts);
    selection.selected
}

pub(super) struct Selection<'a, M> {
    pub(super) memory: &'a M,
    loads: &'a [Load],
    pub(super) word_size: usize,
    left: u64,
    deadline: Instant,
    selected: Selected,
}

impl<M: Memory> Selection<'_, M> {
    fn run(&mut self, facts: &NoteFacts) {
        let (crashed, others) = match facts.threads.split_first() {
            Some((crashed, others)) => (Some(crashed), others),
            None => (None, [].as_slice()),
        };
        if let Some(crashed) = crashed {
            self.stack(crashed, CRASHED_STACK);
            self.near_registers(crashed, NEAR);
            self.thread_data(crashed);
            self.home(crashed, facts);
        }
        link_map::keep(self, facts);
        self.first_pages(facts);
        for thread in others {
            self.stack(thread, FIRST_STACK);
            self.thread_data(thread);
            self.home(thread, facts);
        }
        if let Some(crashed) = crashed {
            let found = self.near_stack(crashed, CRASHED_SEARCH, NEAR);
            self.near_those(&found);
        }
        self.module_data(facts);
        for thread in others {
            self.near_registers(thread, FAR);
            self.near_stack(thread, SEARCH, FAR);
        }
        for thread in others {
            self.stack(thread, WHOLE_STACK);
        }
    }

    /// The range that holds `address`.
    fn load_at(&self, address: u64) -> Option<Load> {
        let after = self.loads.partition_point(|load| load.start <= address);
        let load = self.loads.get(after.checked_sub(1)?)?;
        (address < load.end).then_some(*load)
    }

    /// Keeps what is dumped from `start` to `end` of the range that holds `start`.
    pub(super) fn keep(&mut self, start: u64, end: u64) {
        let Some(load) = self.load_at(start) else {
            return;
        };
        let end = end.min(load.end);
        let mut at = start;
        while at < end {
            let before = self.selected.pieces.range(..=at).next_back();
            if let Some((_, kept)) = before.filter(|(_, kept)| **kept > at) {
                at = *kept;
                continue;
            }
            let after = self.selected.pieces.range(at..).next();
            let gap = after.map_or(end, |(next, _)| end.min(*next));
            let length = gap.saturating_sub(at).min(self.left);
            if length == 0 || self.is_over() {
                self.selected
                    .cut
                    .get_or_insert("the bytes allowed for it were used up");
                return;
            }
            self.left = self.left.saturating_sub(length);
            self.insert(at, at.saturating_add(length));
            at = at.saturating_add(length);
        }
    }

    fn insert(&mut self, mut start: u64, mut end: u64) {
        let pieces = &mut self.selected.pieces;
        if let Some((before, _)) = pieces
            .range(..start)
            .next_back()
            .filter(|(_, kept)| **kept == start)
        {
            start = *before;
        }
        if let Some(after) = pieces.remove(&end) {
            end = after;
        }
        pieces.insert(start, end);
    }

    fn is_over(&mut self) -> bool {
        if Instant::now() >= self.deadline {
            self.selected.cut = Some("the time allowed for it was over");
            self.left = 0;
        }
        self.selected.pieces.len() >= MAX_PIECES || self.left == 0
    }

    /// A thread's stack, from its stack pointer to the end of the mapping.
    fn stack(&mut self, thread: &Thread, most: u64) {
        let from = self.top_of_stack(thread);
        self.keep(from, from.saturating_add(most));
    }

    /// Where a stack begins: the stack pointer, and a little below it. A stack that overflowed has
    /// its pointer in the guard below the mapping.
    fn top_of_stack(&self, thread: &Thread) -> u64 {
        let pointer = thread.stack_pointer;
        let low = pointer.saturating_sub(RED_ZONE);
        if self.load_at(low).is_some() {
            return low;
        }
        let next = self.loads.partition_point(|load| load.start < low);
        let next = self.loads.get(next).map(|load| load.start);
        next.filter(|start| start.saturating_sub(pointer) < 64 << 10 || *start <= pointer)
            .unwrap_or(pointer)
    }

    fn thread_data(&mut self, thread: &Thread) {
        let block = thread.control_block;
        let Some(load) = self.load_at(block) else {
            return;
        };
        let start = block.saturating_sub(TLS).max(load.start);
        self.keep(start, block.saturating_add(TLS / 2));
        // The second word is the vector of the modules' own TLS blocks.
        let words = u64::try_from(self.word_size).unwrap_or(8);
        let vector = self
            .memory
            .word(block.saturating_add(words), self.word_size);
        if let Some(vector) = vector.filter(|vector| self.load_at(*vector).is_some()) {
            self.keep_around(vector, FAR);
        }
    }

    /// The stack a thread was on before it switched to another one (`sigaltstack`): from the lowest
    /// address of it that is found on the other to its end.
    fn home(&mut self, thread: &Thread, facts: &NoteFacts) {
        let on = self.load_at(self.top_of_stack(thread));
        let first = facts
            .auxiliary(AT_RANDOM)
            .and_then(|address| self.load_at(address));
        let own = self.load_at(thread.control_block);
        if on.is_some() && (on == first || on == own) {
            return;
        }
        let words = self.words(self.top_of_stack(thread), CRASHED_SEARCH);
        for home in [first, own].into_iter().flatten() {
            let on_it = words
                .iter()
                .filter(|word| (home.start..home.end).contains(word));
            if let Some(lowest) = on_it.min() {
                let from = lowest.saturating_sub(RED_ZONE).max(home.start);
                self.keep(from, from.saturating_add(WHOLE_STACK));
            }
        }
    }

    fn near_registers(&mut self, thread: &Thread, window: Window) {
        for register in &thread.registers {
            self.keep_around(*register, window);
        }
    }

    /// What a stack points at; returns the addresses.
    fn near_stack(&mut self, thread: &Thread, most: u64, window: Window) -> Vec<u64> {
        let mut words = self.words(self.top_of_stack(thread), most);
        words.extend(self.words(thread.control_block.saturating_sub(256), 512));
        words.sort_unstable();
        words.dedup();
        words.retain(|word| self.load_at(*word).is_some());
        for word in &words {
            self.keep_around(*word, window);
        }
        words
    }

    /// What lies behind those addresses: a message behind an exception, a field behind a structure.
    fn near_those(&mut self, addresses: &[u64]) {
        for address in addresses {
            for word in self.words(*address, FAR.after) {
                self.keep_around(word, FAR);
            }
        }
    }

    pub(super) fn keep_string(&mut self, address: u64) {
        self.keep_around(
            address,
            Window {
                before: 0,
                after: 512,
            },
        );
    }

    fn keep_around(&mut self, address: u64, window: Window) {
        if let Some(load) = self.load_at(address) {
            let start = address.saturating_sub(window.before).max(load.start);
            self.keep(start, address.saturating_add(window.after));
        }
    }

    /// The words from `start`, as many as can be read of `length` bytes.
    fn words(&self, start: u64, length: u64) -> Vec<u64> {
        let align = u64::try_from(self.word_size).unwrap_or(8);
        let start = start.next_multiple_of(align);
        let Some(load) = self.load_at(start) else {
            return Vec::new();
        };
        let length = length.min(load.end.saturating_sub(start));
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = self.memory.read(start, &mut bytes);
        let bytes = bytes.get(..read).unwrap_or_default();
        bytes.chunks_exact(self.word_size).map(word).collect()
    }

    /// The first page of every mapped file, which holds its build ID, and the vDSO.
    fn first_pages(&mut self, facts: &NoteFacts) {
        for (start, _) in &facts.files {
            if let Some(load) = self.load_at(*start).filter(|load| !load.writable) {
                self.keep(*start, load.end.min(start.saturating_add(4096)));
            }
        }
        if let Some(vdso) = facts.auxiliary(AT_SYSINFO_EHDR) {
            self.keep(vdso, vdso.saturating_add(64 << 10));
        }
    }

    /// Variables of program and libraries: written pages of their files, and the zeroed data that
    /// follows. They may take a quarter of what is left.
    fn module_data(&mut self, facts: &NoteFacts) {
        let spare = self.left.saturating_sub(self.left / 4);
        let loads = self.loads;
        let mut data_end = None;
        for load in loads.iter().filter(|load| load.writable) {
            let after = facts
                .files
                .partition_point(|(start, _)| *start <= load.start);
            let file = after.checked_sub(1).and_then(|at| facts.files.get(at));
            let is_file = file.is_some_and(|(_, end)| load.start < *end);
            let most = match is_file {
                true => MODULE_DATA,
                false if data_end == Some(load.start) => MODULE_BSS,
                false => continue,
            };
            data_end = is_file.then_some(load.mapped_end);
            if self.left <= spare {
                self.selected
                    .cut
                    .get_or_insert("the bytes allowed for it were used up");
                return;
            }
            let most = most.min(self.left.saturating_sub(spare));
            self.keep(load.start, load.start.saturating_add(most));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Memory in which every word holds what `words` says, and otherwise 0.
    struct Words(BTreeMap<u64, u64>);

    impl Memory for Words {
        fn read(&self, address: u64, buffer: &mut [u8]) -> usize {
            buffer.fill(0);
            for (at, value) in self.0.range(address..) {
                let offset = usize::try_from(at - address).unwrap_or(usize::MAX);
                match buffer.get_mut(offset..offset.saturating_add(8)) {
                    Some(place) => place.copy_from_slice(&value.to_ne_bytes()),
                    None => break,
                }
            }
            buffer.len()
        }
    }

    fn load(start: u64, end: u64) -> Load {
        Load {
            start,
            end,
            mapped_end: end,
            writable: true,
        }
    }

    fn thread(stack_pointer: u64, control_block: u64) -> Thread {
        Thread {
            stack_pointer,
            control_block,
            registers: vec![],
        }
    }

    fn chosen(words: &[(u64, u64)], loads: &[Load], facts: &NoteFacts, budget: u64) -> Selected {
        let memory = Words(words.iter().copied().collect());
        let soon = Instant::now() + Duration::from_mins(1);
        select(&memory, loads, facts, 8, budget, soon)
    }

    fn has(selected: &Selected, address: u64) -> bool {
        let before = selected.pieces.range(..=address).next_back();
        before.is_some_and(|(_, end)| address < *end)
    }

    #[test]
    fn stacks_and_what_they_point_at_are_kept_and_the_heap_is_not() {
        let (heap, stack, other) = (
            load(0x10_0000, 0x4000_0000),
            load(0x7000_0000, 0x7001_0000),
            load(0x7100_0000, 0x7101_0000),
        );
        let facts = NoteFacts {
            threads: vec![thread(0x7000_8000, 0), thread(0x7100_f000, 0)],
            ..NoteFacts::default()
        };
        let words = [(0x7000_8010, 0x20_0000), (0x20_0010, 0x30_0000)];
        let selected = chosen(&words, &[heap, stack, other], &facts, 64 << 20);
        for (address, expected) in [
            (0x7000_8000 - RED_ZONE, true),
            (0x7000_7000, false),
            (0x7000_ffff, true),
            (0x7100_ffff, true),
            (0x20_0000, true),
            (0x20_0000 - NEAR.before, true),
            (0x30_0000, true),
            (0x40_0000, false),
        ] {
            assert_eq!(has(&selected, address), expected, "{address:x}");
        }
        assert_eq!(selected.cut, None);
    }

    #[test]
    fn the_stack_below_a_signal_stack_is_kept() {
        let (signal_stack, first, own) = (
            load(0x1000, 0x9000),
            load(0x7000_0000, 0x7010_0000),
            load(0x6000_0000, 0x6010_0000),
        );
        let facts = NoteFacts {
            threads: vec![thread(0x4000, 0x600f_f000)],
            auxv: vec![(AT_RANDOM, 0x700f_fff0)],
            files: vec![],
        };
        let words = [(0x4100, 0x6008_0000), (0x4200, 0x6008_4000)];
        let selected = chosen(&words, &[signal_stack, own, first], &facts, 64 << 20);
        assert!(has(&selected, 0x4000) && has(&selected, 0x8fff));
        assert!(has(&selected, 0x6008_0000) && has(&selected, 0x600f_ffff));
        assert!(!has(&selected, 0x6007_0000) && !has(&selected, 0x7008_0000));
    }

    #[test]
    fn an_overflowed_stack_is_kept_from_its_lowest_page() {
        let stack = load(0x7000_0000, 0x7080_0000);
        let facts = NoteFacts {
            threads: vec![thread(0x6fff_fff0, 0)],
            ..NoteFacts::default()
        };
        let selected = chosen(&[], &[stack], &facts, 64 << 20);
        assert_eq!(
            selected.pieces,
            BTreeMap::from([(0x7000_0000, 0x7080_0000)])
        );
    }

    #[test]
    fn a_small_budget_keeps_the_crashed_thread_first_and_says_so() {
        let (first, second) = (load(0x1_0000, 0x2_0000), load(0x3_0000, 0x4_0000));
        let facts = NoteFacts {
            threads: vec![thread(0x3_f000, 0), thread(0x1_8000, 0)],
            ..NoteFacts::default()
        };
        let selected = chosen(&[], &[first, second], &facts, 0x2000);
        assert!(has(&selected, 0x3_ffff) && has(&selected, 0x1_8000));
        assert!(!has(&selected, 0x1_f000));
        assert_eq!(selected.cut, Some("the bytes allowed for it were used up"));
        let kept: u64 = selected.pieces.iter().map(|(start, end)| end - start).sum();
        assert_eq!(kept, 0x2000);
    }

    #[test]
    fn written_data_of_files_is_kept_with_the_zeroes_behind_it() {
        let loads = [
            load(0x1000, 0x2000),
            load(0x2000, 0x3000),
            load(0x8000, 0x9000),
        ];
        let facts = NoteFacts {
            files: vec![(0x1000, 0x2000)],
            ..NoteFacts::default()
        };
        let selected = chosen(&[], &loads, &facts, 64 << 20);
        assert_eq!(selected.pieces, BTreeMap::from([(0x1000, 0x3000)]));
    }

    #[test]
    fn hostile_pointers_are_harmless() {
        let stack = load(u64::MAX - 0x1_0000, u64::MAX);
        let facts = NoteFacts {
            threads: vec![
                thread(u64::MAX - 8, u64::MAX),
                thread(0, 0),
                thread(1, u64::MAX - 100),
            ],
            auxv: vec![
                (AT_RANDOM, u64::MAX),
                (AT_SYSINFO_EHDR, u64::MAX),
                (3, u64::MAX),
                (5, u64::MAX),
            ],
            files: vec![(u64::MAX, 0), (5, 1)],
        };
        chosen(&[], &[stack], &facts, u64::MAX);
        chosen(&[], &[], &facts, 0);
    }
}
