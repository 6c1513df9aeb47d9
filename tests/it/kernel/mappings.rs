//! Real cores of the kernel whose mappings are hard to make modules of, analysed as `aground analyze`
//! does it.

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::house::{program, root};
use aground_testkit::run::finish;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Mappings that a process may have: `vm.max_map_count`, whose default is too small.
const MAP_COUNT: &str = "/proc/sys/vm/max_map_count";

struct Dead {
    directory: TempDir,
    copy: PathBuf,
    core: PathBuf,
}

impl Dead {
    /// Builds the program in a directory of this depth, and lets it die there.
    #[track_caller]
    fn of(argument: &str, depth: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("copy");
        let source = root().join("tests/programs/mappings/mappings.c");
        let mut gcc = Command::new("gcc");
        finish(gcc.args(["-g", "-O2", "-o"]).arg(&copy).arg(source)).ok();
        let name = "d".repeat(250);
        let deeper = format!("mkdir {name}; cd -P {name}\n").repeat(depth);
        let script = format!(
            "cd {}\n{deeper}cp {} program; ulimit -c unlimited; ./program {argument}\n",
            directory.path().display(),
            copy.display()
        );
        let core = directory.path().join("core");
        let claim = CorePattern::claim();
        // %p would be another's for what the program executes.
        claim.set(core.to_str().unwrap());
        let ended = finish(Command::new("bash").args(["-c", &script]));
        drop(claim);
        assert!(core.exists(), "{argument}: no core\n{ended:?}");
        Self {
            directory,
            copy,
            core,
        }
    }

    fn report(&self, exe: Option<&Path>) -> Value {
        let mut analyze = Command::new(program("aground"));
        analyze
            .args(["analyze", "--format", "json"])
            .arg(&self.core);
        if let Some(exe) = exe {
            analyze.arg("--exe").arg(exe);
        }
        let text = finish(analyze.current_dir(self.directory.path())).ok();
        serde_json::from_str(&text).expect("a report")
    }

    /// The crashed thread's stack is whole, and begins with these functions.
    #[track_caller]
    fn check(&self, exe: Option<&Path>, functions: &[&str]) -> Value {
        let report = self.report(exe);
        let thread = &report["threads"][0];
        let shown = format!("{thread:#}");
        assert_eq!(thread["incomplete"], Value::Null, "{shown}");
        let frames = thread["frames"].as_array().unwrap();
        let names = frames
            .iter()
            .map(|frame| frame["function"].as_str().unwrap_or("??"));
        let names: Vec<&str> = names.collect();
        assert_eq!(names[..functions.len()], *functions, "{shown}");
        assert_eq!(names.last(), Some(&"_start"), "{shown}");
        report
    }
}

fn module<'r>(report: &'r Value, end: &str) -> Vec<&'r Value> {
    let modules = report["modules"].as_array().unwrap();
    let ends = |module: &&Value| {
        module["path"]
            .as_str()
            .is_some_and(|path| path.ends_with(end))
    };
    modules.iter().filter(ends).collect()
}

#[test]
fn one_file_mapped_twice_is_two_modules() {
    let report = Dead::of("twice", 0).check(None, &["write_to_null", "read_own_file", "main"]);
    assert_eq!(
        module(&report, "/program").len(),
        2,
        "{:#}",
        report["modules"]
    );
}

#[test]
fn a_cut_link_map_takes_no_module_away() {
    let report = Dead::of("cut-list", 0).check(None, &["write_to_null", "cut_list", "main"]);
    assert_eq!(
        module(&report, "/libc.so.6").len(),
        1,
        "{:#}",
        report["modules"]
    );
}

#[test]
fn code_of_the_kernel_is_read_from_memory() {
    let dead = Dead::of("vdso", 0);
    let report = dead.report(None);
    let frames = report["threads"][0]["frames"].as_array().unwrap();
    assert_eq!(frames[0]["module"], "[vdso]", "{frames:#?}");
    let named = |frame: &&Value| !frame["function"].is_null();
    assert!(
        frames[0]["function"]
            .as_str()
            .is_some_and(|name| name.contains("clock_gettime")),
        "{frames:#?}"
    );
    let names: Vec<&str> = frames
        .iter()
        .filter(named)
        .map(|frame| frame["function"].as_str().unwrap())
        .collect();
    assert!(
        names.windows(2).any(|pair| pair == ["in_vdso", "main"]),
        "{names:?}"
    );
    assert_eq!(names.last(), Some(&"_start"));
}

#[test]
fn a_deleted_program_is_said_to_be_missing_and_found_when_given() {
    let dead = Dead::of("deleted", 0);
    dead.check(
        Some(&dead.copy),
        &["write_to_null", "delete_own_file", "main"],
    );
    let report = dead.report(None);
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains("program (deleted) is missing"),
        "{warnings}"
    );
    assert_eq!(module(&report, "(deleted)")[0]["image"], "missing");
}

#[test]
fn a_program_that_never_had_a_name_is_found_when_given() {
    let dead = Dead::of("memory", 0);
    let report = dead.check(Some(&dead.copy), &["write_to_null", "main"]);
    let own = module(&report, "memfd:nameless (deleted)");
    assert_eq!(own[0]["image"], "given", "{:#}", report["modules"]);
}

#[test]
fn a_path_of_four_thousand_bytes_is_taken_whole() {
    let report = Dead::of("plain", 15).check(None, &["write_to_null", "main"]);
    let path = module(&report, "/program")[0]["path"].as_str().unwrap();
    assert!(path.len() > 3700, "{path}");
}

/// Puts the limit back.
struct MapCount(String);

impl MapCount {
    fn raised() -> Self {
        let before = fs::read_to_string(MAP_COUNT).unwrap();
        fs::write(MAP_COUNT, "200000").unwrap();
        Self(before)
    }
}

impl Drop for MapCount {
    fn drop(&mut self) {
        let _ = fs::write(MAP_COUNT, self.0.trim());
    }
}

/// Such cores list no files: the kernel gives up on a list that may take more than 4 MiB
/// (`core_file_note_size_limit`). The program is known by the auxiliary vector then, and libraries
/// by the dynamic linker's list.
#[test]
fn more_mappings_than_the_header_can_count_are_all_read() {
    let limit = MapCount::raised();
    let dead = Dead::of("many", 0);
    drop(limit);
    let header = fs::read(&dead.core).unwrap();
    assert_eq!(
        header[56..58],
        [0xff, 0xff],
        "the core counts its mappings otherwise"
    );
    let names = ["write_to_null", "many_mappings", "main"];
    let report = dead.check(Some(&dead.copy), &names);
    assert_eq!(report["core"]["truncated"], false);
    let libc = module(&report, "/libc.so.6");
    assert_eq!(libc.len(), 1, "{:#}", report["modules"]);
    assert_eq!(libc[0]["problem"], Value::Null, "{:#}", report["modules"]);
}
