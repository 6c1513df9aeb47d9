//! Turns a core's threads into the report's: walks their stacks and names their frames.

use crate::address::CodeAddress;
use crate::group;
use crate::modules::ModuleSource;
use crate::report::{Address, Frame, SourceLine, Thread, Trust, Variable};
use crate::space::Space;
use crate::symbols::{Name, Symbols};
use crate::unwind::{Stack, StackFrame, Unwinder};
use std::collections::{BTreeMap, HashMap};

/// Frames of all threads together; a core that has more is walked no further.
const FRAMES_MAX: usize = 100_000;
/// Variables of all threads together; the crashed thread comes first.
pub const VARIABLES_MAX: usize = 10_000;
/// Source lines shown before and after the line of a frame.
const SOURCE_CONTEXT: u32 = 2;
/// Source files read for one report.
const SOURCE_FILES_MAX: usize = 256;
/// Longer source lines are cut.
const SOURCE_LINE_MAX: usize = 400;

/// Walks the stacks of all threads, in the core's order.
pub fn walk(space: &Space<'_>, unwinder: &mut Unwinder<'_, '_>) -> Vec<Stack> {
    let mut left = FRAMES_MAX;
    let mut walk = |thread: &crate::dump::notes::ThreadNote| {
        if left == 0 {
            let incomplete = Some("not walked: the other threads have too many frames".to_owned());
            return Stack {
                frames: Vec::new(),
                incomplete,
            };
        }
        let mut stack = unwinder.walk(&thread.registers);
        stack.cut(left);
        left -= stack.frames.len();
        stack
    };
    space.core.notes.threads.iter().map(&mut walk).collect()
}

impl Stack {
    fn cut(&mut self, frames: usize) {
        if self.frames.len() > frames {
            self.frames.truncate(frames);
            self.incomplete = Some("cut: the threads together have too many frames".to_owned());
        }
    }
}

/// Which modules have frames, in the order of `space.modules`.
pub fn modules_used(space: &Space<'_>, stacks: &[Stack]) -> Vec<bool> {
    let mut used = vec![false; space.modules.len()];
    for frame in stacks.iter().flat_map(|stack| &stack.frames) {
        if let Some(index) = space.module_index(frame.address.lookup()) {
            used[index] = true;
        }
    }
    used
}

/// The report's threads. The first one is the one that crashed: kernels and `gcore` write it so.
pub fn name(
    space: &Space<'_>,
    symbols: &mut Symbols<'_, '_>,
    stacks: &[Stack],
    names: &BTreeMap<i32, String>,
) -> Vec<Thread> {
    let named = |stack: &Stack| frames(space, symbols, stack);
    threads_with(space, stacks, names, named)
}

/// The report's threads without names of functions: where each frame lies, nothing more.
pub fn unnamed(space: &Space<'_>, stacks: &[Stack], names: &BTreeMap<i32, String>) -> Vec<Thread> {
    let numbered = |(index, physical): (usize, &StackFrame)| {
        let frame = placed(space, physical);
        Frame {
            index,
            in_app: group::in_app(frame.module.as_deref(), None),
            ..frame
        }
    };
    threads_with(space, stacks, names, |stack| {
        stack.frames.iter().enumerate().map(numbered).collect()
    })
}

fn threads_with(
    space: &Space<'_>,
    stacks: &[Stack],
    names: &BTreeMap<i32, String>,
    mut frames: impl FnMut(&Stack) -> Vec<Frame>,
) -> Vec<Thread> {
    let mut thread = |(index, stack): (usize, &Stack)| {
        let note = space.core.notes.threads.get(index)?;
        Some(Thread {
            tid: note.tid,
            name: names.get(&note.tid).cloned().or_else(|| only_name(space)),
            crashed: index == 0,
            registers: note.registers.named(space.core.arch),
            frames: frames(stack),
            incomplete: stack.incomplete.clone(),
            waits_for: None,
        })
    };
    stacks.iter().enumerate().filter_map(&mut thread).collect()
}

/// The process's name is its main thread's name, which is certain when there is only one thread.
fn only_name(space: &Space<'_>) -> Option<String> {
    let psinfo = space.core.notes.psinfo.as_ref()?;
    (space.core.notes.threads.len() == 1 && !psinfo.name.is_empty()).then(|| psinfo.name.clone())
}

/// The frames of a stack with names, without variables.
pub(crate) fn named(space: &Space<'_>, symbols: &mut Symbols<'_, '_>, stack: &Stack) -> Vec<Frame> {
    let mut frames = Vec::with_capacity(stack.frames.len());
    for physical in &stack.frames {
        append(&mut frames, space, symbols, physical);
    }
    frames
}

fn frames(space: &Space<'_>, symbols: &mut Symbols<'_, '_>, stack: &Stack) -> Vec<Frame> {
    let mut frames: Vec<Frame> = Vec::with_capacity(stack.frames.len());
    for (index, physical) in stack.frames.iter().enumerate() {
        let caller = stack.frames.get(index + 1).map(|caller| caller.address);
        let jumps = match caller.filter(|_| !physical.trampoline) {
            Some(CodeAddress::Return(pc)) => symbols.tail_calls(address_of(physical), pc),
            _ => Vec::new(),
        };
        let first = frames.len();
        append(&mut frames, space, symbols, physical);
        if !physical.trampoline {
            let show = |symbols: &Symbols<'_, '_>| symbols.variables(&stack.frames, index, &jumps);
            add_variables(&mut frames[first..], symbols, show);
        }
        for (position, &jump) in jumps.iter().enumerate() {
            let mut left_out = physical.clone();
            left_out.address = CodeAddress::Return(jump);
            left_out.trust = Trust::Cfi;
            let first = frames.len();
            append(&mut frames, space, symbols, &left_out);
            let jumps = &jumps[position..];
            let show =
                |symbols: &Symbols<'_, '_>| symbols.variables_left_out(&stack.frames, index, jumps);
            add_variables(&mut frames[first..], symbols, show);
        }
    }
    frames
}

/// Adds the variables of each of a frame's functions, until the report has enough of them.
fn add_variables(
    frames: &mut [Frame],
    symbols: &mut Symbols<'_, '_>,
    show: impl FnOnce(&Symbols<'_, '_>) -> Vec<Vec<Variable>>,
) {
    if symbols.variables_left == 0 {
        return;
    }
    for (frame, variables) in frames.iter_mut().zip(show(symbols)) {
        symbols.variables_left = symbols.variables_left.saturating_sub(variables.len());
        frame.variables = variables;
    }
}

/// Adds a frame, and before it the functions that were inlined into it.
fn append(
    frames: &mut Vec<Frame>,
    space: &Space<'_>,
    symbols: &mut Symbols<'_, '_>,
    physical: &StackFrame,
) {
    let mut names = symbols.find(address_of(physical));
    if names.is_empty() {
        names.push(Name::default());
    }
    let last = names.len() - 1;
    for (depth, name) in names.into_iter().enumerate() {
        let mut frame = placed(space, physical);
        frame.index = frames.len();
        frame.inline = depth < last;
        frame.function = name.function;
        frame.linkage_name = name.linkage_name;
        frame.file = name.file;
        frame.line = name.line;
        frame.column = name.column;
        frame.in_app = group::in_app(frame.module.as_deref(), frame.function.as_deref());
        frames.push(frame);
    }
}

/// A handler returns to the first byte of a trampoline, so that is what names it.
fn address_of(frame: &StackFrame) -> u64 {
    if frame.trampoline {
        frame.address.pc()
    } else {
        frame.address.lookup()
    }
}

fn placed(space: &Space<'_>, physical: &StackFrame) -> Frame {
    let pc = physical.address.pc();
    let module = space.module_at(address_of(physical));
    Frame {
        pc: Address(pc),
        module: module.map(|module| module.found.path.clone()),
        build_id: module.and_then(|module| module.found.build_id.clone()),
        offset: module.map(|module| Address(pc.wrapping_sub(module.bias))),
        entry: module.and(physical.entry).map(Address),
        trust: physical.trust,
        signal_trampoline: physical.trampoline,
        ..Frame::default()
    }
}

/// Adds source lines to the crashed thread's frames, where the source is at hand.
pub fn add_source(threads: &mut [Thread], source: &mut dyn ModuleSource) {
    let mut files: HashMap<String, Option<String>> = HashMap::new();
    let frames = threads
        .iter_mut()
        .filter(|thread| thread.crashed)
        .flat_map(|thread| &mut thread.frames);
    for frame in frames.filter(|frame| frame.trust != Trust::Scan) {
        let Some((file, line)) = frame.file.clone().zip(frame.line) else {
            continue;
        };
        if files.len() >= SOURCE_FILES_MAX && !files.contains_key(&file) {
            continue;
        }
        let text = files
            .entry(file)
            .or_insert_with_key(|file| source.source(file));
        frame.source = text
            .as_deref()
            .map(|text| lines_around(text, line))
            .unwrap_or_default();
    }
}

fn lines_around(text: &str, line: u32) -> Vec<SourceLine> {
    let first = line.saturating_sub(SOURCE_CONTEXT).max(1);
    let last = line.saturating_add(SOURCE_CONTEXT);
    let numbered = (1..)
        .zip(text.lines())
        .skip_while(|(number, _)| *number < first);
    let lines: Vec<_> = numbered
        .take_while(|(number, _)| *number <= last)
        .map(|(number, text)| SourceLine {
            number,
            text: text.chars().take(SOURCE_LINE_MAX).collect(),
        })
        .collect();
    // A file that is too short is not the file that was compiled.
    if lines.iter().any(|found| found.number == line) {
        lines
    } else {
        Vec::new()
    }
}
