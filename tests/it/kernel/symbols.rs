//! Symbols that come after the crash: handed in, checked, used, and taken away again.

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::house::{program, root};
use aground_testkit::http::{post, post_file};
use aground_testkit::run::{eventually, finish};
use aground_testkit::site::{Site, text};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A stripped program and its debug information apart.
pub(super) fn stripped(site: &Site) -> (PathBuf, PathBuf) {
    stripped_from(site, "many-threads", "-O1")
}

fn stripped_from(site: &Site, name: &str, optimisation: &str) -> (PathBuf, PathBuf) {
    let (program, debug) = (
        site.path().join(name),
        site.path().join(format!("{name}.debug")),
    );
    let source = root().join(format!("tests/programs/{name}/{name}.c"));
    let mut gcc = Command::new("gcc");
    gcc.args(["-g", optimisation, "-pthread", "-Wl,--build-id=sha1", "-o"]);
    finish(gcc.arg(&program).arg(source)).ok();
    objcopy(&["--only-keep-debug", text(&program), text(&debug)]);
    objcopy(&["--strip-all", text(&program)]);
    (program, debug)
}

fn objcopy(arguments: &[&str]) {
    finish(Command::new("objcopy").args(arguments)).ok();
}

/// Functions of the program's own file with a line.
fn own_lines(dump: &Value, program: &Path) -> usize {
    let threads = dump["report"]["threads"].as_array().unwrap();
    let frames = threads
        .iter()
        .flat_map(|thread| thread["frames"].as_array().unwrap());
    frames
        .filter(|frame| frame["module"] == text(program) && frame["line"].is_u64())
        .count()
}

/// By the form of the page, which says what is missing and what is kept.
fn a_browser_hands_it_in(site: &Site, id: &str, debug: &Path, build_id: &str) {
    let lacking = post(site.port(), &format!("/api/v1/dumps/{id}/analyze"));
    assert_eq!(lacking.status, 202);
    let page = eventually(Duration::from_mins(1), || {
        let page = site.get("/symbols").text();
        let listed = page.contains(build_id) && page.contains("title=\"/");
        listed.then_some(page.clone()).ok_or(page)
    });
    assert!(page.contains("No server is asked"), "{page}");
    let content = fs::read(debug).unwrap();
    let other = post_file(site.port(), "/symbols", "file", "a.txt", b"hello");
    assert_eq!(other.status, 422);
    assert!(
        other.text().contains("it is no ELF file"),
        "{}",
        other.text()
    );
    let sent = post_file(site.port(), "/symbols", "file", "m.debug", &content);
    assert_eq!(sent.status, 303, "{}", sent.text());
    let page = site.get("/symbols").text();
    assert!(
        page.contains("m.debug") && page.contains(build_id),
        "{page}"
    );
    eventually(Duration::from_mins(1), || {
        let dump = site.dump(id);
        let done = dump["report"]["revision"] == 4 && dump["summary"]["status"] == "analyzed";
        done.then_some(()).ok_or(dump.to_string())
    });
}

/// A program without a build ID names its debug file by name and checksum.
#[test]
fn symbols_that_are_linked_by_checksum_name_the_frames() {
    let site = Site::started();
    let (program, debug) = (site.path().join("linked"), site.path().join("linked.debug"));
    let source = root().join("tests/programs/many-threads/many-threads.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-g", "-O1", "-pthread", "-Wl,--build-id=none", "-o"]);
    finish(gcc.arg(&program).arg(source)).ok();
    objcopy(&["--only-keep-debug", text(&program), text(&debug)]);
    objcopy(&["--strip-all", text(&program)]);
    let link = format!("--add-gnu-debuglink={}", text(&debug));
    objcopy(&[&link, text(&program)]);
    {
        let _claim = site.collect();
        finish(Command::new(&program).args(["4", "16"]));
    }
    let before = site.wait_for(1, &[]).remove(0);
    let id = before["summary"]["id"].as_str().unwrap();
    assert_eq!(own_lines(&before, &program), 0);
    let missing = site.aground(&["symbols", "missing"]).ok();
    let line = missing.lines().find(|line| line.contains("/linked"));
    let key = line.unwrap().split(' ').next().unwrap();
    assert!(key.starts_with("crc32-"), "{missing}");

    // Of another content, it is another file.
    let mut other = fs::read(&debug).unwrap();
    other.push(0);
    let changed = site.path().join("changed.debug");
    fs::write(&changed, other).unwrap();
    let told = site.aground(&["symbols", "upload", text(&changed)]).ok();
    assert!(
        !told.starts_with(key) && told.contains("no crash here"),
        "{told}"
    );

    let told = site.aground(&["symbols", "upload", text(&debug)]).ok();
    assert!(
        told.starts_with(key) && told.contains("1 crash is"),
        "{told}"
    );
    let after = eventually(Duration::from_mins(1), || {
        let dump = site.dump(id);
        let again = dump["report"]["revision"] == 2 && dump["summary"]["status"] == "analyzed";
        again.then_some(dump.clone()).ok_or(dump.to_string())
    });
    assert!(own_lines(&after, &program) > 4);
    site.aground(&["symbols", "rm", key]).ok();
}

/// gdb gets the stripped program, its libraries and the symbols, whatever this machine has.
fn debugger_names_the_frames(site: &Site, id: &str) {
    let gdb = [
        "-nx",
        "-batch",
        "-ex",
        "info sharedlibrary",
        "-ex",
        "thread apply all bt",
    ];
    let shown = site
        .aground(&[&["debug", "-q", id, "--"], &gdb[..]].concat())
        .ok();
    assert!(
        shown.contains("in work (") && shown.contains("many-threads.c:"),
        "{shown}"
    );
    assert!(!shown.contains("No such file"), "{shown}");
    let libc = shown.lines().find(|line| line.contains("libc.so.6"));
    assert!(libc.unwrap().contains("aground-debug-"), "{shown}");

    let kept = site.path().join("session");
    let print = ["debug", "-q", id, "--print", "--dir", text(&kept)];
    let printed = site.aground(&[&print[..], &["--"], &gdb].concat()).ok();
    let mut shell = Command::new("sh");
    let again = finish(shell.args(["-c", &printed])).ok();
    assert_eq!(
        again.matches("in work (").count(),
        shown.matches("in work (").count()
    );
    for (debugger, expected) in [("lldb", "-c"), ("dlv", "dlv core")] {
        let kept = site.path().join(debugger);
        let print = [
            "debug",
            "-q",
            id,
            "--print",
            "--debugger",
            debugger,
            "--dir",
        ];
        let printed = site.aground(&[&print[..], &[text(&kept)]].concat()).ok();
        assert!(printed.contains(expected), "{printed}");
    }
    let twice = site.aground(&print).one_line_error();
    assert!(twice.contains("exists"), "{twice}");
}

#[test]
fn symbols_that_come_later_name_the_frames_and_say_so() {
    let site = Site::started();
    let (program, debug) = stripped(&site);
    {
        let _claim = site.collect();
        finish(Command::new(&program).args(["4", "16"]));
    }
    let before = site.wait_for(1, &[]).remove(0);
    let id = before["summary"]["id"].as_str().unwrap();
    assert_eq!(own_lines(&before, &program), 0);
    assert_eq!(before["report"]["revision"], 1);
    let page = site.get(&format!("/dumps/{id}")).text();
    assert!(page.contains("aground symbols upload"), "{page}");

    let told = site.aground(&["symbols", "upload", text(&debug)]).ok();
    assert!(told.contains("1 crash is analysed again"), "{told}");
    let build_id = told.split(' ').next().unwrap().to_owned();
    let after = eventually(Duration::from_mins(1), || {
        let dump = site.dump(id);
        let again = dump["report"]["revision"] == 2 && dump["summary"]["status"] == "analyzed";
        again.then_some(dump.clone()).ok_or(dump.to_string())
    });
    assert!(own_lines(&after, &program) > 4);
    let modules = after["report"]["modules"].as_array().unwrap();
    let module = modules
        .iter()
        .find(|module| module["path"] == text(&program));
    let module = module.unwrap();
    assert_eq!(
        (&module["debug"], &module["debug_from"], &module["build_id"]),
        (
            &"dwarf".into(),
            &"uploaded".into(),
            &build_id.clone().into()
        )
    );
    let said = "analysis 2, with uploaded symbols of many-threads";
    assert!(site.get(&format!("/dumps/{id}")).text().contains(said));
    assert!(site.aground(&["bt", id]).ok().contains(said));

    debugger_names_the_frames(&site, id);

    let listed = site.aground(&["symbols", "ls"]).ok();
    assert!(
        listed.contains(&build_id) && listed.contains("many-threads.debug"),
        "{listed}"
    );
    assert_eq!(
        site.aground(&["symbols", "rm", &build_id]).ok().trim(),
        build_id
    );
    assert_eq!(site.aground(&["symbols", "ls", "-q"]).ok(), "");
    let gone = site.aground(&["symbols", "rm", &build_id]).one_line_error();
    assert!(gone.contains("no symbols of that build ID"), "{gone}");

    a_browser_hands_it_in(&site, id, &debug, &build_id);
}

#[test]
fn what_is_no_symbols_is_refused_in_a_line_and_leaves_nothing() {
    let site = Site::started();
    let check = |name: &str, bytes: &[u8], reason: &str| {
        let path = site.path().join(name);
        fs::write(&path, bytes).unwrap();
        let refused = site
            .aground(&["symbols", "upload", text(&path)])
            .one_line_error();
        assert!(refused.contains(reason), "{refused}");
    };
    check("empty", b"", "it is no ELF file");
    check("script", b"#!/bin/sh\n", "it is no ELF file");
    let whole = fs::read(program("aground-analyzer")).unwrap();
    check("cut", &whole[..100_000], "it is");
    let (program, _) = stripped(&site);
    let bare = site.path().join("bare");
    objcopy(&[
        "--remove-section=.note.gnu.build-id",
        text(&program),
        text(&bare),
    ]);
    check("bare", &fs::read(bare).unwrap(), "without symbols");
    site.aground(&["symbols", "rm", "../../../etc/passwd"])
        .one_line_error();
    site.aground(&["symbols", "upload", "/nonexistent"])
        .one_line_error();
    for left in ["symbols", "importing"] {
        let left = fs::read_dir(site.state().join(left)).unwrap();
        assert_eq!(left.count(), 0);
    }
}

/// A program whose debug information the linker never saw: in files of units, or a package of them.
#[test]
fn split_debug_information_names_the_frames() {
    let site = Site::started();
    for (number, packed) in [(1, false), (2, true)] {
        let build = site.path().join(format!("split-{number}"));
        fs::create_dir(&build).unwrap();
        let source = root().join("tests/programs/many-threads/many-threads.c");
        fs::copy(source, build.join("many-threads.c")).unwrap();
        let mut gcc = Command::new("gcc");
        // Debian's packer reads DWARF 4 only.
        let format = if packed { "-gdwarf-4" } else { "-gdwarf-5" };
        gcc.args([format, "-gsplit-dwarf", "-O1", "-pthread", "-o", "split"]);
        finish(gcc.arg("many-threads.c").current_dir(&build)).ok();
        let unit = fs::read_dir(&build)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|it| it == "dwo"));
        let mut symbols = unit.unwrap();
        if packed {
            let mut dwp = Command::new("dwp");
            dwp.args(["-e", "split", "-o", "split.dwp"]);
            finish(dwp.current_dir(&build)).ok();
            symbols = build.join("split.dwp");
        }
        let program = build.join("split");
        {
            let _claim = site.collect();
            finish(Command::new(&program).args(["4", "16"]));
        }
        let before = site.wait_for(number, &[]).remove(0);
        let id = before["summary"]["id"].as_str().unwrap();
        let first = |dump: &Value| dump["report"]["threads"][0]["frames"][0].clone();
        let missing = site.aground(&["symbols", "missing"]).ok();
        let lacking = missing.lines().find(|line| line.starts_with("dwo-"));
        assert!(lacking.unwrap().contains("/split"), "{missing}");

        let told = site.aground(&["symbols", "upload", text(&symbols)]).ok();
        let kind = if packed { "dwp-" } else { "dwo-" };
        assert!(
            told.starts_with(kind) && told.contains("1 crash is"),
            "{told}"
        );
        let after = eventually(Duration::from_mins(1), || {
            let dump = site.dump(id);
            let again = dump["report"]["revision"] == 2 && dump["summary"]["status"] == "analyzed";
            again.then_some(dump.clone()).ok_or(dump.to_string())
        });
        let frame = first(&after);
        assert_eq!(frame["function"], "finish", "{frame:#}");
        assert!(frame["line"].is_u64(), "{frame:#}");
        // What only the file of the unit knows.
        let variables = frame["variables"].as_array().unwrap();
        assert!(
            variables.iter().any(|variable| variable["name"] == "job"),
            "{frame:#}"
        );
        let named = own_lines(&after, &program);
        assert!(named > 4);
        let missing = site.aground(&["symbols", "missing"]).ok();
        assert!(!missing.contains("dwo-"), "{missing}");

        // Offline it is found where it was compiled.
        let core = site.core(id);
        let report = site
            .aground(&["analyze", text(&core), "--format", "json"])
            .ok();
        let report: Value = serde_json::from_str(&report).unwrap();
        let offline = &report["threads"][0]["frames"][0];
        assert_eq!(
            (&offline["function"], &offline["line"]),
            (&frame["function"], &frame["line"])
        );
    }
}

/// Debug files that share what they have in common (dwz), as distributions make them.
#[test]
fn what_debug_files_share_is_missed_until_it_comes() {
    let site = Site::started();
    let program = shared_by_two(&site);
    {
        let _claim = site.collect();
        finish(Command::new(&program).args(["4", "16"]));
    }
    let before = site.wait_for(1, &[]).remove(0);
    let id = before["summary"]["id"].as_str().unwrap();
    let upload = |name: &str| {
        let file = site.path().join(name);
        let told = site.aground(&["symbols", "upload", text(&file)]).ok();
        assert!(told.contains("1 crash is analysed again"), "{told}");
        told.split(' ').next().unwrap().to_owned()
    };
    let module = |revision: u64| {
        let dump = eventually(Duration::from_mins(1), || {
            let dump = site.dump(id);
            let done =
                dump["report"]["revision"] == revision && dump["summary"]["status"] == "analyzed";
            done.then_some(dump.clone()).ok_or(dump.to_string())
        });
        let modules = dump["report"]["modules"].as_array().unwrap();
        let found = modules.iter().find(|it| it["path"] == text(&program));
        (found.unwrap().clone(), own_lines(&dump, &program))
    };
    upload("one.debug");
    let (lacking, _) = module(2);
    let wanted = lacking["wanted"].as_array().unwrap();
    assert_eq!(wanted.len(), 1, "{lacking:#}");
    // Nobody has that module mapped: the dump is found by what it lacks.
    let shared = upload("common.debug");
    assert_eq!(wanted[0], shared.as_str());
    let (whole, lines) = module(3);
    assert_eq!(whole["wanted"], Value::Array(vec![]), "{whole:#}");
    assert!(lines > 4);

    // A crash that comes when all is there lacks nothing.
    {
        let _claim = site.collect();
        finish(Command::new(&program).args(["4", "16"]));
    }
    let next = site.wait_for(2, &[]).remove(0);
    assert_eq!(own_lines(&next, &program), lines);
}

/// Two programs' debug files, made to share; the first of the programs, stripped.
fn shared_by_two(site: &Site) -> PathBuf {
    let source = root().join("tests/programs/many-threads/many-threads.c");
    for name in ["one", "two"] {
        let (program, debug) = (
            site.path().join(name),
            site.path().join(format!("{name}.debug")),
        );
        let own = site.path().join(format!("{name}.c"));
        fs::write(&own, format!("const char own[] = \"{name}\";")).unwrap();
        let mut gcc = Command::new("gcc");
        gcc.args(["-g", "-O1", "-pthread", "-Wl,--build-id=sha1", "-o"]);
        finish(gcc.arg(&program).args([&own, &source])).ok();
        objcopy(&["--only-keep-debug", text(&program), text(&debug)]);
        objcopy(&["--strip-all", text(&program)]);
    }
    let mut dwz = Command::new("dwz");
    dwz.args(["-m", "common.debug", "one.debug", "two.debug"]);
    finish(dwz.current_dir(site.path())).ok();
    site.path().join("one")
}

/// The core of a stripped program from elsewhere, which was not captured with it.
fn foreign_core(site: &Site, program: &Path) -> PathBuf {
    let claim = CorePattern::claim();
    claim.set(text(&site.path().join("core.%p")));
    let mut crash = Command::new("sh");
    crash.args(["-c", "ulimit -c unlimited; exec \"$0\" write"]);
    finish(crash.arg(program));
    drop(claim);
    let files = fs::read_dir(site.path()).unwrap();
    let mut paths = files.map(|entry| entry.unwrap().path());
    let core = paths.find(|path| text(path).contains("/core."));
    core.expect("the kernel wrote a core")
}

#[test]
fn a_program_that_comes_after_its_core_unwinds_it() {
    let site = Site::started();
    let (program, debug) = stripped_from(&site, "inventory", "-O2");
    let core = foreign_core(&site, &program);
    let id = site.aground(&["import", "--quiet", text(&core)]).ok();
    let id = id.trim();
    let analysed = |revision: u64| {
        eventually(Duration::from_mins(1), || {
            let dump = site.dump(id);
            let done = dump["report"]["revision"] == revision;
            let done = done && dump["summary"]["status"] == "analyzed";
            done.then_some(dump.clone()).ok_or(dump.to_string())
        })
    };
    let image = |dump: &Value| {
        let modules = dump["report"]["modules"].as_array().unwrap().iter();
        let mut own = modules.filter(|module| module["path"] == text(&program));
        own.next().unwrap()["image"].as_str().unwrap().to_owned()
    };
    assert_eq!(image(&analysed(1)), "missing");
    let missing = site.aground(&["symbols", "missing"]).ok();
    assert!(missing.contains("program-"), "{missing}");

    let told = site.aground(&["symbols", "upload", text(&program)]).ok();
    assert!(told.starts_with("program-"), "{told}");
    assert!(told.contains("1 crash is analysed again"), "{told}");
    let dump = analysed(2);
    assert_eq!(image(&dump), "uploaded");
    let frames = &dump["report"]["threads"][0]["frames"];
    assert_eq!(frames[1]["trust"], "cfi", "{frames}");
    assert_eq!(own_lines(&dump, &program), 0);

    // What it was stripped of takes nothing from it.
    let told = site.aground(&["symbols", "upload", text(&debug)]).ok();
    assert!(told.contains("1 crash is analysed again"), "{told}");
    let dump = analysed(3);
    assert_eq!(image(&dump), "uploaded");
    assert!(own_lines(&dump, &program) >= 3, "{dump}");

    // What one analysis was given, the next one is given too.
    let again = post(site.port(), &format!("/api/v1/dumps/{id}/analyze"));
    assert_eq!(again.status, 202);
    let again = analysed(4);
    assert_eq!(again["report"]["threads"], dump["report"]["threads"]);
    assert_eq!(
        site.aground(&["symbols", "ls", "-q"]).ok().lines().count(),
        2
    );
}
