//! Causes that only the kernel's own cores can show: of processes that it killed at once, that
//! other processes killed, and that live in a namespace with numbers of their own.

use aground_testkit::house::root;
use aground_testkit::run::finish;
use aground_testkit::site::{Site, text};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program of the analyzer's tests.
fn built(site: &Site, name: &str) -> PathBuf {
    let program = site.path().join(name);
    let source = root().join(format!("analyzer/tests/programs/{name}.c"));
    let mut gcc = Command::new("gcc");
    gcc.args(["-g", "-O1", "-pthread", "-Wl,--build-id=sha1", "-o"]);
    finish(gcc.arg(&program).arg(source)).ok();
    program
}

/// The only dump of a command that dies.
fn dump_of(site: &Site, command: &mut Command) -> Value {
    {
        let _claim = site.collect();
        finish(command.current_dir(site.path()));
    }
    let mut dumps = site.wait_for(1, &[]);
    dumps.remove(0)
}

/// The program in a namespace of process ids, below a shell that is its first process.
fn nested(program: &Path, argument: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "/bin/sh", "-c"]);
    command.arg(format!("{} {argument}; exit 0", text(program)));
    command
}

/// Threads that have a function on their stack, by their names.
fn names_of<'d>(dump: &'d Value, function: &str) -> Vec<&'d str> {
    let threads = dump["report"]["threads"].as_array().unwrap();
    let has = |thread: &&Value| {
        let mut frames = thread["frames"].as_array().unwrap().iter();
        frames.any(|frame| frame["function"] == function)
    };
    let name = |thread: &'d Value| thread["name"].as_str().unwrap_or("nameless");
    threads.iter().filter(has).map(name).collect()
}

#[track_caller]
fn because(dump: &Value, words: &str) {
    let cause = &dump["report"]["cause"];
    let mut evidence = cause["evidence"].as_array().unwrap().iter();
    let said = evidence.any(|line| line.as_str().unwrap().contains(words));
    assert!(said, "{words} expected, not {cause:#}");
}

/// In a namespace threads have other numbers than the host's; the names are theirs all the same,
/// from a lean core as from a whole one.
#[test]
fn a_deadlock_in_a_namespace_of_its_own() {
    for policy in ["full", "lean"] {
        let site = Site::started();
        fs::write(
            site.state().join("capture.json"),
            format!(r#"{{"policy":"{policy}"}}"#),
        )
        .unwrap();
        let program = built(&site, "locks");
        let dump = dump_of(&site, &mut nested(&program, "deadlock"));
        assert_eq!(dump["summary"]["kept"], policy, "{:#}", dump["record"]);
        let report = &dump["report"];
        assert_eq!(report["cause"]["kind"], "deadlock", "{report:#}");
        let title = report["cause"]["title"].as_str().unwrap();
        assert!(title.contains("ended by SIGABRT from process "), "{title}");
        assert_eq!(names_of(&dump, "sell"), ["seller"]);
        assert_eq!(names_of(&dump, "restock"), ["restocker"]);
        assert_eq!(names_of(&dump, "main"), ["locks"]);
        because(&dump, "(seller), in sell, waits for the mutex at 0x");
        because(&dump, "(restocker), in restock, waits for the mutex at 0x");
        because(&dump, "(seller)");

        let id = dump["summary"]["id"].as_str().unwrap();
        let page = site.get(&format!("/dumps/{id}")).text();
        assert!(page.contains("Deadlock: "), "{page}");
        let written = site.aground(&["bt", id]).ok();
        assert!(written.contains("\"restocker\":"), "{written}");
    }
}

#[test]
fn forty_idle_threads_are_one_stack() {
    let site = Site::started();
    let program = built(&site, "locks");
    let dump = dump_of(&site, &mut nested(&program, "idle"));
    assert_eq!(names_of(&dump, "idle"), ["idler"; 40]);
    let id = dump["summary"]["id"].as_str().unwrap();
    let written = site.aground(&["bt", "--all-threads", id]).ok();
    assert!(written.contains("40 threads like this: "), "{written}");
    assert_eq!(written.matches(" in idle () at ").count(), 1, "{written}");
    let page = site.get(&format!("/dumps/{id}")).text();
    assert!(page.contains("40 threads like this"), "{page}");
}

#[test]
fn a_watchdog_in_the_namespace_is_named_as_the_process_saw_it() {
    let site = Site::started();
    let program = built(&site, "signals");
    let dump = dump_of(&site, &mut nested(&program, "watchdog-thread"));
    let sender = fs::read_to_string(site.path().join("sender")).unwrap();
    let title = format!("SIGABRT sent by process {sender} while in serve");
    assert_eq!(dump["report"]["cause"]["title"], title);
    assert_eq!(dump["report"]["cause"]["kind"], "killed-by");
}

#[test]
fn killed_for_a_system_call() {
    let site = Site::started();
    let program = built(&site, "signals");
    let dump = dump_of(&site, Command::new(program).arg("forbidden-kill"));
    let report = &dump["report"];
    assert_eq!(report["process"]["signal"]["system_call"], "rename");
    let title = "forbidden system call rename in rename_it";
    assert_eq!(report["cause"]["title"], title, "{report:#}");
    assert_eq!(report["site"]["what"], "the system call that was refused");
}

#[test]
fn a_write_to_constants_names_their_file() {
    let site = Site::started();
    let program = built(&site, "faults");
    let dump = dump_of(&site, Command::new(&program).arg("read-only"));
    assert_eq!(dump["report"]["cause"]["kind"], "permission-violation");
    because(
        &dump,
        &format!("is mapped read-only from {}", text(&program)),
    );
}
