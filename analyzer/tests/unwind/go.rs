//! Stacks of Go programs, which keep Go's own table of functions when they are stripped.

use crate::crash::{Crash, Program, shown};
use aground_analyzer::report::{Frame, Report, Thread, Trust};

/// Function, file and line of a physical frame.
type Place = (Option<String>, Option<String>, Option<u32>);

/// Dies of a panic or of what the run time finds; gdb stops it at the signal that ends it.
#[track_caller]
fn crash(program: &Program, argument: &str) -> Crash {
    let mut commands = vec![
        "handle SIGURG nostop noprint pass".to_owned(),
        "set environment GOTRACEBACK crash".to_owned(),
        "run".to_owned(),
    ];
    // A fault is the run time's to handle first.
    if argument == "nil" {
        commands.push("signal SIGSEGV".to_owned());
    }
    program.stopped(argument, &commands)
}

/// Frames; assembler functions are called `….abi0` by the linker and not by the table.
fn places(report: &Report) -> Vec<Place> {
    let frames = report.threads[0].frames.iter();
    let place = |frame: &Frame| {
        let function = frame.function.as_deref();
        let function = function.map(|name| name.trim_end_matches(".abi0").to_owned());
        (function, frame.file.clone(), frame.line)
    };
    frames.map(place).collect()
}

#[test]
fn stripped_programs_keep_functions_files_and_lines() {
    let whole = Program::of_go("panics.go", &[]);
    let stripped = Program::of_go("panics.go", &["-ldflags=-s -w"]);
    let relocatable = Program::of_go("panics.go", &["-ldflags=-s -w", "-buildmode=pie"]);
    for (way, user) in [
        ("nil", &["main.totalOf", "main.main"][..]),
        ("index", &["main.itemAt", "main.main"]),
        ("text", &["main.main"]),
        ("error", &["main.find", "main.main"]),
    ] {
        let expected = crash(&whole, way).report();
        for program in [&stripped, &relocatable] {
            let report = crash(program, way).report();
            let shown = shown(&report.threads);
            let thread = &report.threads[0];
            assert_eq!(thread.incomplete, None, "{way}: {shown}");
            let (ours, theirs) = (places(&report), places(&expected));
            assert_eq!(ours, theirs, "{way}: {shown}");
            for name in user {
                let named = |(function, _, _): &Place| function.as_deref() == Some(name);
                assert!(ours.iter().any(named), "{way}: {shown}");
            }
            let module = report
                .modules
                .iter()
                .find(|module| module.debug == "pclntab");
            assert!(module.is_some(), "{way}: {:?}", report.modules);
        }
    }
}

/// `morestack` throws on the thread's own stack; the recursion is on the goroutine's.
#[test]
fn stacks_are_followed_to_the_goroutine() {
    for options in [&[][..], &["-ldflags=-s -w"]] {
        let report = crash(&Program::of_go("panics.go", options), "overflow").report();
        let places = places(&report);
        let at = |name: &str| {
            let is_it = |(function, _, _): &Place| function.as_deref() == Some(name);
            places.iter().position(is_it)
        };
        let [switch, user] = [at("runtime.morestack"), at("main.descend")];
        assert_eq!(switch.unwrap() + 1, user.unwrap(), "{:?}", &places[..20]);
        let descend = (Some("main.descend".to_owned()), 34);
        let deep = &places[user.unwrap() + 5];
        assert_eq!((deep.0.clone(), deep.2.unwrap()), descend, "{deep:?}");
    }
}

/// Threads that look for work have no goroutine: their stacks end where they left the last one, or
/// where the thread began.
#[test]
fn threads_without_goroutine_end() {
    const ENDS: [&str; 3] = ["runtime.mcall", "runtime.mstart", "runtime.clone"];
    for options in [&[][..], &["-ldflags=-s -w"]] {
        let report = crash(&Program::of_go("panics.go", options), "deadlock").report();
        let shown = shown(&report.threads);
        for thread in &report.threads {
            assert_eq!(thread.incomplete, None, "{shown}");
            let last = thread.frames.last().unwrap().function.as_deref();
            assert!(last.is_some_and(|name| ENDS.contains(&name)), "{shown}");
            let guess = thread
                .frames
                .iter()
                .find(|frame| frame.trust == Trust::Scan);
            assert_eq!(guess, None, "{shown}");
        }
    }
}

/// Goroutines that wait are on no thread; a stripped program does not even say where its list is.
#[test]
fn goroutines_are_listed_with_what_they_wait_in() {
    for options in [&[][..], &["-ldflags=-s -w"]] {
        let program = Program::of_go("goroutines.go", options);
        let report = crash(&program, "nil").report();
        let [runtime] = &report.runtimes[..] else {
            panic!("{:?}", report.warnings)
        };
        assert_eq!(runtime.language, "go");
        let version = runtime.version.as_deref();
        assert!(
            version.is_some_and(|version| version.starts_with("go1.")),
            "{version:?}"
        );
        let shown = shown(&runtime.threads);
        let inside = |function: &str| {
            let is_it = |frame: &Frame| frame.function.as_deref() == Some(function);
            let found = runtime.threads.iter();
            found
                .filter(move |thread| thread.frames.iter().any(is_it))
                .collect::<Vec<_>>()
        };
        for thread in &runtime.threads {
            assert_eq!(thread.incomplete, None, "{shown}");
            let last = thread.frames.last().unwrap().function.as_deref();
            assert!(
                last.is_some_and(|name| name.starts_with("runtime.goexit")),
                "{shown}"
            );
        }
        let running = inside("main.main");
        assert_eq!((running.len(), running[0].tid), (1, 1), "{shown}");
        assert_eq!(running[0].name.as_deref(), Some("running"), "{shown}");
        for (function, count, status) in [
            ("main.worker", 5, "waiting"),
            ("main.holder", 1, "waiting"),
            ("time.Sleep", 1, "waiting"),
        ] {
            let found = inside(function);
            assert_eq!(found.len(), count, "{function}: {shown}");
            let name = |thread: &&&Thread| thread.name.as_deref() == Some(status);
            assert_eq!(
                found.iter().filter(name).count(),
                count,
                "{function}: {shown}"
            );
        }
        // It never stops by itself: the run time preempted it, or it runs.
        assert_eq!(inside("main.spin").len(), 1, "{shown}");
    }
}
