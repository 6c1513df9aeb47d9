//! Stacks as tables of frames, equal stacks folded into one.

use super::text::{Brief, base_name, clip};
use aground_analyzer::report::{Frame, Report, Thread, Trust, Variable, alike};
use aground_helper::record::Record;

/// The most frames of one stack on a page; the report has the rest.
const MOST_FRAMES: usize = 400;
/// The most different stacks on a page.
const MOST_STACKS: usize = 200;
/// The most threads that one sentence names, and the most such sentences.
const MOST_NAMED: usize = 20;

/// One frame as a row.
#[derive(Clone, Debug)]
pub struct FrameRow {
    /// Position in the stack.
    pub index: usize,
    /// Function, or that it is unknown.
    pub function: Brief,
    /// Whether the function is known.
    pub named: bool,
    /// `http.c:42`, the whole path in the tooltip.
    pub source: Option<SourcePlace>,
    /// File name of the module, its path in the tooltip.
    pub module: Option<(String, String)>,
    /// `+0x1136`.
    pub offset: String,
    /// Program counter.
    pub pc: String,
    /// How the frame was found, in a word.
    pub trust: &'static str,
    /// What that word means.
    pub trust_note: &'static str,
    /// Whether the compiler inlined it into the frame below.
    pub inline: bool,
    /// Whether it belongs to the application.
    pub in_app: bool,
    /// Whether it is the kernel's signal trampoline.
    pub trampoline: bool,
    /// The first frame of the application: where to look first.
    pub first_app: bool,
    /// Source around the line: number, text, whether it is the line.
    pub lines: Vec<(u32, String, bool)>,
    /// Arguments and local variables.
    pub values: Vec<Value>,
}

/// An argument or local variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its name, its type in the tooltip.
    pub name: Brief,
    /// Its type.
    pub type_name: String,
    /// Its value, or why there is none.
    pub value: Brief,
    /// Whether it is an argument.
    pub argument: bool,
    /// Whether the value is known.
    pub known: bool,
}

/// A place in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePlace {
    /// `http.c:42`.
    pub short: String,
    /// `/src/shop-api/http.c:42:7`.
    pub whole: String,
}

/// One stack.
#[derive(Clone, Debug)]
pub struct Stack {
    /// `worker-2 (4711)`, one per thread with this stack.
    pub threads: Vec<String>,
    /// What links to each thread point at: `t4711`. Frames have `t4711-3`.
    pub anchors: Vec<String>,
    /// Registers, when it is the stack of one thread.
    pub registers: Vec<(String, String)>,
    /// The innermost frame in words.
    pub top: Brief,
    /// Its frames.
    pub frames: Vec<FrameRow>,
    /// How many frames are not on the page.
    pub left_out: usize,
    /// How many are of the system.
    pub system: usize,
    /// Why it ends early.
    pub incomplete: Option<String>,
    /// What its threads wait for, a sentence's end for each that does: `waits for the mutex …`.
    pub waits: Vec<(String, String)>,
}

impl Stack {
    /// The stack of one thread.
    pub fn new(thread: &Thread) -> Self {
        let first_app = thread.frames.iter().position(|frame| frame.in_app);
        let row = |(at, frame)| FrameRow::new(frame, first_app == Some(at));
        let frames: Vec<_> = thread
            .frames
            .iter()
            .take(MOST_FRAMES)
            .enumerate()
            .map(row)
            .collect();
        Self {
            threads: vec![label(thread)],
            anchors: vec![format!("t{}", thread.tid)],
            registers: registers(thread),
            top: thread.frames.first().map(function).unwrap_or_default(),
            left_out: thread.frames.len() - frames.len(),
            system: frames.iter().filter(|frame| !frame.in_app).count(),
            frames,
            incomplete: thread.incomplete.clone(),
            waits: wait(thread).into_iter().collect(),
        }
    }

    /// The stack of threads that all have it.
    fn of(threads: &[&Thread]) -> Option<Self> {
        let mut stack = Self::new(threads.first()?);
        stack.threads = threads.iter().map(|thread| label(thread)).collect();
        stack.anchors = threads.iter().map(|one| format!("t{}", one.tid)).collect();
        stack.waits = threads.iter().filter_map(|thread| wait(thread)).collect();
        if threads.len() > 1 {
            // Each thread has values and registers of its own; the report has them all.
            for frame in &mut stack.frames {
                frame.values.clear();
            }
            stack.registers.clear();
        }
        Some(stack)
    }

    /// What links to its frames begin with.
    pub fn anchor(&self) -> &str {
        self.anchors.first().map_or("t", String::as_str)
    }

    /// Whether a toggle between application and all frames makes sense.
    pub fn is_mixed(&self) -> bool {
        self.system > 0 && self.system < self.frames.len()
    }
}

impl FrameRow {
    fn new(frame: &Frame, first_app: bool) -> Self {
        let (trust, trust_note) = trust(frame.trust);
        let module = frame.module.as_deref();
        Self {
            index: frame.index,
            function: function(frame),
            named: frame.function.is_some(),
            source: source_place(frame),
            module: module.map(|path| (clip(base_name(path), 60), clip(path, 1000))),
            offset: frame.offset.map(|o| format!("+{o}")).unwrap_or_default(),
            pc: frame.pc.to_string(),
            trust,
            trust_note,
            inline: frame.inline,
            in_app: frame.in_app,
            trampoline: frame.signal_trampoline,
            first_app,
            lines: frame
                .source
                .iter()
                .map(|line| {
                    let text = clip(&line.text.replace('\t', "    "), 200);
                    (line.number, text, Some(line.number) == frame.line)
                })
                .collect(),
            values: frame.variables.iter().map(Value::new).collect(),
        }
    }
}

impl Value {
    fn new(variable: &Variable) -> Self {
        Self {
            name: Brief::new(&variable.name, 80),
            type_name: clip(variable.type_name.as_deref().unwrap_or_default(), 200),
            value: Brief::new(&variable.value, 700),
            argument: variable.argument,
            known: !variable.value.starts_with('<'),
        }
    }
}

/// The function of a frame, or what is known instead.
pub fn function(frame: &Frame) -> Brief {
    let name = match (&frame.function, &frame.module) {
        (Some(function), _) => function.clone(),
        (None, _) if frame.signal_trampoline => "signal handler called".to_owned(),
        (None, Some(module)) => format!("unknown function in {}", base_name(module)),
        (None, None) => "unknown code".to_owned(),
    };
    Brief::new(&name, 300)
}

/// File and line of a frame.
pub fn source_place(frame: &Frame) -> Option<SourcePlace> {
    let file = frame.file.as_deref()?;
    let line = frame
        .line
        .map(|line| format!(":{line}"))
        .unwrap_or_default();
    let column = frame
        .column
        .map(|column| format!(":{column}"))
        .unwrap_or_default();
    Some(SourcePlace {
        short: format!("{}{line}", clip(base_name(file), 80)),
        whole: format!("{}{line}{column}", clip(file, 1000)),
    })
}

fn trust(trust: Trust) -> (&'static str, &'static str) {
    match trust {
        Trust::Context => ("context", "From the thread's registers: certain"),
        Trust::Cfi => ("cfi", "By call frame information: reliable"),
        Trust::Code => ("code", "By following machine code: likely"),
        Trust::FramePointer => ("fp", "By the frame pointer chain: likely"),
        Trust::Scan => ("scan", "Found on the stack by its looks: a guess"),
    }
}

fn wait(thread: &Thread) -> Option<(String, String)> {
    let wait = thread.waits_for.as_ref()?;
    Some((label(thread), clip(&wait.to_string(), 300)))
}

/// Threads that wait for each other, by name: a sentence for each circle.
pub fn deadlocks(report: &Report) -> Vec<String> {
    let label_of = |tid: &i32| {
        let thread = report.threads.iter().find(|thread| thread.tid == *tid);
        thread.map_or_else(|| tid.to_string(), label)
    };
    let circle = |circle: &Vec<i32>| {
        let threads: Vec<String> = circle.iter().take(MOST_NAMED).map(label_of).collect();
        let more = circle.len() - threads.len();
        let others = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        match threads.as_slice() {
            [alone] => format!("Deadlock: {alone} waits for what it has itself."),
            _ => format!(
                "Deadlock: {}{others} wait for each other.",
                threads.join(", ")
            ),
        }
    };
    report
        .deadlocks
        .iter()
        .take(MOST_NAMED)
        .map(circle)
        .collect()
}

fn label(thread: &Thread) -> String {
    match &thread.name {
        Some(name) => format!("{} ({})", clip(name, 40), thread.tid),
        None => format!("thread {}", thread.tid),
    }
}

/// Gives the threads of a report the names the record has for them.
///
/// A core numbers threads as their own namespace does, the record as the host does. The kernel
/// tells both numbers of the crashed thread, /proc both of the process, which is its first
/// thread; the others cannot be matched and stay without a name.
pub fn name_threads(report: &mut Report, record: &Record) {
    let (process, kernel) = (&record.process, &record.kernel);
    let host_tid = |tid: i32| {
        if kernel.namespace_tid == Some(tid) {
            return kernel.tid;
        }
        match process.namespace_pid {
            Some(inside) if inside == tid => Some(process.pid),
            Some(inside) if inside != process.pid => None,
            _ => Some(tid),
        }
    };
    let name = |tid| process.thread_names.get(&host_tid(tid)?).cloned();
    for thread in &mut report.threads {
        if thread.name.is_none() {
            thread.name = name(thread.tid);
        }
        if let Some(wait) = &mut thread.waits_for
            && wait.owner_name.is_none()
        {
            wait.owner_name = wait.owner.and_then(name);
        }
    }
}

/// The stacks of threads, equal ones (by program counters) as one, in order of first sight;
/// and how many different ones are left out.
pub fn fold<'a>(threads: impl Iterator<Item = &'a Thread>) -> (Vec<Stack>, usize) {
    let mut alike = alike(threads);
    let rest = alike.split_off(alike.len().min(MOST_STACKS));
    let stacks = alike.iter().filter_map(|threads| Stack::of(threads));
    (stacks.collect(), rest.iter().map(Vec::len).sum())
}

/// Registers in the order their architecture's manuals have them.
pub fn registers(thread: &Thread) -> Vec<(String, String)> {
    let mut registers: Vec<_> = thread.registers.iter().collect();
    registers.sort_by_key(|(name, _)| rank(name));
    let show = |(name, value): (&String, &aground_analyzer::report::Address)| {
        (clip(name, 16), format!("{:#018x}", value.0))
    };
    registers.into_iter().map(show).collect()
}

fn rank(name: &str) -> (usize, usize, String) {
    const FIRST: [&str; 16] = [
        "rip", "pc", "eip", "rsp", "sp", "esp", "rbp", "ebp", "rax", "rbx", "rcx", "rdx", "rsi",
        "rdi", "lr", "fp",
    ];
    let known = FIRST.iter().position(|first| *first == name);
    let digits: String = name.chars().filter(char::is_ascii_digit).collect();
    let number = digits.parse().unwrap_or(usize::MAX);
    (known.unwrap_or(FIRST.len()), number, name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aground_analyzer::report::Address;

    fn thread(tid: i32, pcs: &[u64]) -> Thread {
        let frame = |pc: &u64| Frame {
            pc: Address(*pc),
            ..Frame::default()
        };
        Thread {
            tid,
            frames: pcs.iter().map(frame).collect(),
            ..Thread::default()
        }
    }

    #[test]
    fn equal_stacks_are_one() {
        let threads = [thread(1, &[1, 2]), thread(2, &[3]), thread(3, &[1, 2])];
        let (stacks, left_out) = fold(threads.iter());
        assert_eq!(left_out, 0);
        let labels: Vec<_> = stacks.iter().map(|stack| stack.threads.clone()).collect();
        assert_eq!(labels, [vec!["thread 1", "thread 3"], vec!["thread 2"]]);
    }

    #[test]
    fn values_belong_to_one_thread() {
        let with = |tid, value: &str| {
            let mut thread = thread(tid, &[1]);
            thread.frames[0].variables.push(Variable {
                name: "count".to_owned(),
                value: value.to_owned(),
                ..Variable::default()
            });
            thread
        };
        let one = Stack::new(&with(1, "7"));
        assert_eq!(one.frames[0].values[0].value.shown, "7");
        assert!(one.frames[0].values[0].known);
        assert!(!Stack::new(&with(1, "<optimized out>")).frames[0].values[0].known);
        let (folded, _) = fold([with(1, "7"), with(2, "8")].iter());
        assert!(folded[0].frames[0].values.is_empty());
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let deep: Vec<u64> = (0..1000).collect();
        assert_eq!(Stack::new(&thread(1, &deep)).left_out, 600);
        let many: Vec<_> = (0..300)
            .map(|n| thread(n, &[u64::from(n.unsigned_abs())]))
            .collect();
        assert_eq!(fold(many.iter()).1, 100);
    }

    #[test]
    fn registers_come_in_their_own_order() {
        let mut thread = thread(1, &[]);
        for name in ["r10", "r9", "rax", "eflags", "rip"] {
            thread.registers.insert(name.to_owned(), Address(1));
        }
        let names: Vec<_> = registers(&thread)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["rip", "rax", "r9", "r10", "eflags"]);
    }
}
