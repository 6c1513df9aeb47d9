//! Builds programs, lets them crash, and asks gdb what their stacks are.

use aground_analyzer::offline::{self, OfflineRequest};
use aground_analyzer::report::{Frame, Report, Thread};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Prints every frame of every thread; pc, kind and name are what a stack is compared by.
const PRINT_STACKS: &str = r"
import gdb
gdb.execute('set backtrace past-main on')
def walk(thread):
    thread.switch()
    print('@thread', thread.ptid[1])
    frame = gdb.newest_frame()
    while frame is not None and frame.is_valid():
        print('@frame', hex(frame.pc()), frame.type(), frame.name() or '??')
        try:
            frame = frame.older()
        except gdb.error as error:
            print('@lost', error)
            break
for thread in sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num):
    walk(thread)
";

/// `gdb.INLINE_FRAME`, `gdb.TAILCALL_FRAME` and `gdb.SIGTRAMP_FRAME`, as Python prints them.
const INLINED: &str = "2";
const JUMPED: &str = "3";
const SIGNAL: &str = "4";

/// A compiled program and a place for its cores.
pub struct Program {
    directory: TempDir,
    /// The executable.
    pub executable: PathBuf,
}

/// A core and the program it is of.
pub struct Crash {
    /// The core.
    pub core: PathBuf,
    /// The program as the analysis is given it.
    pub executable: PathBuf,
    /// The root of the program's world, for programs of other machines.
    pub sysroot: Option<PathBuf>,
}

/// A frame as both sides see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Program counter.
    pub pc: u64,
    /// Whether it is a signal trampoline.
    pub signal: bool,
    /// Function; `None` when unknown.
    pub function: Option<String>,
}

/// gdb's walk of a thread.
#[derive(Debug)]
pub struct Walked {
    /// Thread id.
    pub tid: i32,
    /// Innermost first, without inlined functions.
    pub frames: Vec<Place>,
    /// Addresses of frames that it made up, because a tail call took them off the stack.
    pub jumped: Vec<u64>,
}

impl Program {
    /// Compiles a source file of `tests/programs`.
    #[track_caller]
    pub fn built(source: &str, compiler: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let executable = directory.path().join("program");
        let [name, arguments @ ..] = compiler else {
            panic!("no compiler")
        };
        let mut build = Command::new(name);
        build
            .arg("-o")
            .arg(&executable)
            .arg(source_path(source))
            .args(arguments);
        run(&mut build);
        Self {
            directory,
            executable,
        }
    }

    /// Builds a Go program of `tests/programs`.
    #[track_caller]
    pub fn of_go(source: &str, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let executable = directory.path().join("program");
        let mut build = Command::new("go");
        build.arg("build").args(options).arg("-o").arg(&executable);
        build.arg(source_path(source)).env("GO111MODULE", "off");
        run(build.env("GOCACHE", directory.path().join("go")));
        Self {
            directory,
            executable,
        }
    }

    /// Cores of the program at each of so many instructions, from the beginning of a function on.
    #[track_caller]
    pub fn steps(&self, argument: &str, function: &str, count: usize) -> Vec<Crash> {
        let mut gdb = gdb("gdb");
        let first = [format!("break *{function}"), "run".to_owned()];
        let cores: Vec<PathBuf> = (0..count)
            .map(|step| self.directory.path().join(format!("core.{step}")))
            .collect();
        let dump = |core: &PathBuf| {
            let core = core.display();
            [format!("generate-core-file {core}"), "stepi".to_owned()]
        };
        for command in first.into_iter().chain(cores.iter().flat_map(dump)) {
            gdb.args(["-ex", &command]);
        }
        gdb.arg("--args").arg(&self.executable).arg(argument);
        run(gdb.current_dir(self.directory.path()));
        let crash = |core| Crash {
            core,
            executable: self.executable.clone(),
            sysroot: None,
        };
        cores.into_iter().map(crash).collect()
    }

    /// Dies with one argument. gdb writes the core, so that the machine's `core_pattern` is
    /// neither needed nor touched.
    #[track_caller]
    pub fn crash(&self, argument: &str) -> Crash {
        let mut commands = Vec::new();
        if argument.starts_with("handled") {
            commands.push("handle SIGSEGV SIGILL SIGBUS nostop noprint pass".to_owned());
        }
        if argument == "nested" {
            commands.push("handle SIGUSR1 SIGUSR2 nostop noprint pass".to_owned());
        }
        commands.push("run".to_owned());
        self.stopped(argument, &commands)
    }

    /// A core of where the program is after these commands of gdb.
    #[track_caller]
    pub fn stopped(&self, argument: &str, commands: &[String]) -> Crash {
        let core = self.directory.path().join(format!("core.{argument}"));
        let mut gdb = gdb("gdb");
        for command in commands {
            gdb.args(["-ex", command]);
        }
        gdb.arg("-ex")
            .arg(format!("generate-core-file {}", core.display()));
        gdb.arg("--args").arg(&self.executable).arg(argument);
        run(gdb.current_dir(self.directory.path()));
        assert!(core.exists(), "gdb wrote no core of {argument}");
        Crash {
            core,
            executable: self.executable.clone(),
            sysroot: None,
        }
    }
}

impl Crash {
    /// The report.
    #[track_caller]
    pub fn report(&self) -> Report {
        let request = OfflineRequest {
            core: self.core.clone(),
            exe: Some(self.executable.clone()),
            sysroot: self.sysroot.clone(),
            debug_dirs: Vec::new(),
        };
        offline::analyze(&request).expect("a report")
    }

    /// What gdb says of the same core.
    #[track_caller]
    pub fn walked_by_gdb(&self, debugger: &str) -> Vec<Walked> {
        let script = self.core.with_extension("py");
        fs::write(&script, PRINT_STACKS).unwrap();
        let mut gdb = gdb(debugger);
        if let Some(sysroot) = &self.sysroot {
            gdb.arg("-iex")
                .arg(format!("set sysroot {}", sysroot.display()));
        }
        gdb.arg(&self.executable).arg(&self.core);
        gdb.arg("-ex").arg(format!("source {}", script.display()));
        let walked = walks(&run(&mut gdb));
        assert!(!walked.is_empty(), "gdb shows no threads");
        walked
    }

    /// Holds every thread's stack against gdb's and the program's own truth: the crashed thread has
    /// these functions of the program from the innermost to `main`.
    #[track_caller]
    pub fn check(&self, functions: &[&str], oracle: Oracle) -> Report {
        let report = self.report();
        let shown = shown(&report.threads);
        for thread in &report.threads {
            assert_eq!(thread.incomplete, None, "{shown}");
        }
        if oracle != Oracle::Lost {
            self.agrees(&report, oracle);
        }
        assert_eq!(functions_of_program(&report), functions, "{shown}");
        report
    }
}

impl Crash {
    /// Every thread's stack is gdb's.
    #[track_caller]
    pub fn agrees(&self, report: &Report, oracle: Oracle) {
        for walked in self.walked_by_gdb("gdb") {
            let ours = report.threads.iter().find(|t| t.tid == walked.tid);
            let ours = ours.unwrap_or_else(|| panic!("no thread {}", walked.tid));
            agree(&walked, ours, oracle);
        }
    }
}

/// How far gdb can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// All of its frames are true, and there are no others.
    Whole,
    /// Its frames are true down to `main` of the crashed thread.
    ToMain,
    /// It cannot walk such stacks.
    Lost,
}

/// Functions of `stacks.c`, beside `main`; in static programs the C library's are the program's too.
const FUNCTIONS: [&str; 20] = [
    "aligned",
    "among_threads",
    "calls",
    "calls_it",
    "compare",
    "ends_with_a_call",
    "faults_at_once",
    "first",
    "from_the_library",
    "give_up",
    "middle",
    "much_on_the_stack",
    "nested_signals",
    "never_returns",
    "outer",
    "second",
    "sum",
    "waits",
    "write_to_null",
    "main",
];

/// Functions of the program up to `main`; a signal trampoline as `<signal>`.
pub fn functions_of_program(report: &Report) -> Vec<String> {
    let mut names = Vec::new();
    for frame in &report.threads[0].frames {
        let name = frame.function.as_deref().unwrap_or("??");
        // The part of a function that is seldom run is called `middle.cold`.
        let name = name.split('.').next().unwrap_or(name);
        if frame.signal_trampoline {
            names.push("<signal>".to_owned());
        } else if frame.module.is_none() || FUNCTIONS.contains(&name) {
            names.push(name.to_owned());
        }
        if name == "main" {
            break;
        }
    }
    names
}

/// Frames as text, for a failed assertion.
pub fn shown(threads: &[Thread]) -> String {
    let frame = |frame: &Frame| {
        let (pc, index) = (frame.pc.0, frame.index);
        let name = frame.function.as_deref().unwrap_or("??");
        let module = frame.module.as_deref().unwrap_or("no module");
        let (trust, signal) = (frame.trust.as_str(), frame.signal_trampoline);
        format!("  #{index} {pc:#x} {name} ({module}, {trust}, signal {signal})\n")
    };
    let thread = |thread: &Thread| {
        let frames: String = thread.frames.iter().map(frame).collect();
        format!(
            "thread {}: incomplete {:?}\n{frames}",
            thread.tid, thread.incomplete
        )
    };
    threads.iter().map(thread).collect()
}

/// The same addresses in the same order, and the same names in the program.
#[track_caller]
fn agree(walked: &Walked, ours: &Thread, oracle: Oracle) {
    let lines = walked.frames.iter().map(|frame| format!("  {frame:x?}\n"));
    let theirs: String = lines.collect();
    let shown = format!("gdb:\n{theirs}ours:\n{}", shown(std::slice::from_ref(ours)));
    let is_main = |place: &Place| place.function.as_deref() == Some("main");
    let end = walked.frames.iter().position(is_main);
    let known = match (oracle, end) {
        (Oracle::Whole, _) => &walked.frames[..],
        (_, Some(main)) => &walked.frames[..=main],
        (_, None) => return,
    };
    // Frames that a tail call took off the stack are the symbols' matter.
    let physical: Vec<&Frame> = ours.frames.iter().filter(|frame| !frame.inline).collect();
    let told = |pc: &u64| !walked.jumped.contains(pc);
    let pcs: Vec<u64> = physical
        .iter()
        .map(|frame| frame.pc.0)
        .filter(told)
        .collect();
    let expected: Vec<u64> = known.iter().map(|frame| frame.pc).collect();
    assert!(pcs.starts_with(&expected), "{shown}");
    assert!(oracle == Oracle::ToMain || pcs == expected, "{shown}");
    for place in known.iter().filter(|place| !place.signal) {
        let frame = physical.iter().find(|frame| frame.pc.0 == place.pc);
        let name = frame.and_then(|frame| frame.function.as_deref());
        if name.is_some_and(|name| FUNCTIONS.contains(&name)) {
            assert_eq!(name, place.function.as_deref(), "{shown}");
        }
    }
}

fn walks(text: &str) -> Vec<Walked> {
    let mut walked: Vec<Walked> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["@thread", tid] => walked.push(Walked {
                tid: tid.parse().unwrap(),
                frames: Vec::new(),
                jumped: Vec::new(),
            }),
            ["@frame", _, INLINED, ..] => {}
            ["@frame", pc, kind, ref name @ ..] => {
                let name = name.join(" ");
                let pc = u64::from_str_radix(pc.trim_start_matches("0x"), 16).unwrap();
                let thread = walked.last_mut().unwrap();
                if kind == JUMPED {
                    thread.jumped.push(pc);
                    continue;
                }
                let place = Place {
                    pc,
                    signal: kind == SIGNAL,
                    function: (name != "??").then_some(name),
                };
                thread.frames.push(place);
            }
            _ => {}
        }
    }
    walked
}

fn gdb(name: &str) -> Command {
    let mut gdb = Command::new(name);
    gdb.args(["-nx", "-batch", "-iex", "set debuginfod enabled off"]);
    gdb.env_remove("DEBUGINFOD_URLS").env("LC_ALL", "C.UTF-8");
    gdb
}

/// A source file of the tests.
pub fn source_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/programs")
        .join(name)
}

/// Runs a program that must succeed; its output.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let output = command.output().expect("start the program");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
