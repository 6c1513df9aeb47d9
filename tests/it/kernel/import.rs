//! Cores that others took: handed in as files, as a stream, or found in a directory.

use aground_testkit::core_pattern::CorePattern;
use aground_testkit::house::root;
use aground_testkit::run::{eventually, finish};
use aground_testkit::site::{Site, text};
use aground_testkit::systemd_coredump::{PATTERN, SystemdCoredump};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A core of 4 MiB as the kernel writes it into a file.
fn core_file(site: &Site) -> PathBuf {
    core_file_of(site, 4)
}

fn core_file_of(site: &Site, mebibytes: u32) -> PathBuf {
    let program = compiled(site);
    let claim = CorePattern::claim();
    claim.set(text(&site.path().join("core.%p")));
    let status = Command::new("sh")
        .args(["-c", "ulimit -c unlimited; exec \"$0\" 1 \"$1\""])
        .arg(program)
        .arg(mebibytes.to_string())
        .status();
    assert!(status.unwrap().success());
    drop(claim);
    let files = fs::read_dir(site.path()).unwrap();
    let core = files
        .map(|entry| entry.unwrap().path())
        .find(|path| text(path).contains("/core."));
    core.expect("the kernel wrote a core")
}

fn compiled(site: &Site) -> PathBuf {
    let program = site.path().join("storm");
    let source = root().join("tests/programs/storm/storm.c");
    let mut gcc = Command::new("gcc");
    finish(gcc.args(["-g", "-O1", "-o"]).arg(&program).arg(source)).ok();
    program
}

fn import(site: &Site, file: &Path) -> String {
    let id = site.aground(&["import", "--quiet", text(file)]).ok();
    id.trim().to_owned()
}

fn sh(script: &str, file: &Path) {
    finish(Command::new("sh").args(["-ec", script, text(file)])).ok();
}

#[test]
fn a_core_is_one_dump_however_it_is_handed_in() {
    let site = Site::started();
    let core = core_file(&site);
    let shown = site.aground(&["import", text(&core)]).ok();
    let dump = site.wait_for(1, &["comm=storm"]).remove(0);
    let id = dump["summary"]["id"].as_str().unwrap();
    assert!(shown.starts_with(&id[..12]), "{shown}");
    assert_eq!(dump["report"]["cause"]["kind"], "null-dereference");
    assert_eq!(dump["record"]["signal"]["name"], "SIGSEGV");
    assert_eq!(dump["record"]["capture"]["kept"], "full");
    assert_eq!(dump["record"]["capture"]["way"], "import");
    let file = core.file_name().unwrap().to_str().unwrap();
    assert_eq!(dump["record"]["imported"]["file"], file);

    for pack in [
        "gzip -k -1 $0",
        "xz -k -0 $0",
        "zstd -q $0",
        "lz4 -q $0 $0.lz4",
    ] {
        sh(pack, &core);
    }
    for ending in ["gz", "xz", "zst", "lz4"] {
        let packed = core.with_added_extension(ending);
        assert_eq!(import(&site, &packed), id, "{ending}");
    }
    let script = format!("{} import -q - <$0", text(&site.program("aground")));
    let mut stream = Command::new("sh");
    stream.args(["-ec", &script, text(&core)]);
    stream.env("AGROUND_HOST", site.host());
    assert_eq!(finish(&mut stream).ok().trim(), id);
    let again = site.aground(&["import", text(&core)]).ok();
    assert!(again.contains("it was here already"), "{again}");
    assert_eq!(site.ids(&[]).len(), 1);

    let copy = site.path().join("copy");
    site.aground(&["cp", "-q", id, text(&copy)]).ok();
    finish(Command::new("cmp").arg(&core).arg(&copy)).ok();
    let page = site.get(&format!("/dumps/{id}")).text();
    assert!(page.contains(&format!("from {file}")), "{page}");
    // Handed in again after it was removed, it is there again.
    site.aground(&["rm", id]).ok();
    assert_eq!(import(&site, &core), id);
}

#[test]
fn what_is_no_core_is_refused_in_a_line_and_what_was_cut_is_called_that() {
    let site = Site::started();
    let refused = |name: &str, bytes: &[u8], why: &str| {
        let file = site.path().join(name);
        fs::write(&file, bytes).unwrap();
        let error = site.aground(&["import", text(&file)]).one_line_error();
        assert!(error.contains(name) && error.contains(why), "{error}");
    };
    refused("empty", b"", "empty");
    refused("words", b"no core at all", "not an ELF core");
    let program = fs::read("/bin/true").unwrap();
    refused("program", &program, "not a core");
    // More than the sockets hold: the answer comes before all of it was sent.
    refused("zeros", &vec![0; 64 << 20], "not an ELF core");
    let missing = site.aground(&["import", "/no/such"]).one_line_error();
    assert!(missing.contains("No such file"), "{missing}");

    let core = core_file(&site);
    let whole = fs::read(&core).unwrap();
    let cut = site.path().join("cut");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let shown = site.aground(&["import", text(&cut)]).ok();
    assert!(shown.contains("the core is cut"), "{shown}");
    let dump = site.wait_for(1, &[]).remove(0);
    assert_eq!(dump["record"]["capture"]["kept"], "partial");
    assert_eq!(dump["record"]["capture"]["truncated"], true);
    let importing = fs::read_dir(site.state().join("importing")).unwrap();
    assert_eq!(importing.count(), 0);
}

#[test]
fn a_large_core_is_taken_where_there_is_room_and_refused_where_there_is_none() {
    let mut site = Site::new();
    let disk = site.on_small_disk(160);
    let limits = "max_bytes = \"100%\"\nmin_free = \"1MiB\"\nreserve = \"1MiB\"";
    site.start_with_config(&format!("[retention]\n{limits}\n"));
    // Half of it cannot be compressed.
    let large = core_file_of(&site, 160);
    let id = import(&site, &large);
    site.wait_for(1, &["kept=full"]);
    fs::remove_file(&large).unwrap();
    let larger = core_file_of(&site, 320);
    let error = site.aground(&["import", text(&larger)]).one_line_error();
    assert!(error.contains("there is no room for it"), "{error}");
    assert_eq!(site.ids(&[]), [id]);
    let importing = fs::read_dir(site.state().join("importing")).unwrap();
    assert_eq!(importing.count(), 0);
    site.stop();
    drop(disk);
}

#[test]
fn what_systemd_coredump_knew_comes_with_its_cores() {
    let site = Site::started();
    let program = compiled(&site);
    let claim = CorePattern::claim();
    let peer = SystemdCoredump::start();
    claim.set(PATTERN);
    let status = Command::new(&program).args(["1", "1"]).status();
    assert!(status.unwrap().success());
    let directory = site.path().join("cores");
    let core = peer.take_core(text(&program), &directory);
    drop((peer, claim));
    site.aground(&["import", text(&directory)]).ok();
    let record = site.wait_for(1, &[]).remove(0)["record"].clone();
    assert_eq!(record["process"]["executable"], text(&program));
    assert_eq!(record["kernel"]["uid"], 0);
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(record["host"]["hostname"], hostname.trim());
    assert_eq!(record["imported"]["file"], core.as_str());
    assert_eq!(record["problems"], serde_json::json!([]));
}

#[test]
fn what_appears_in_a_watched_directory_is_taken_once() {
    let mut site = Site::new();
    let watched = site.path().join("watched");
    fs::create_dir(&watched).unwrap();
    let config = format!("[import]\nwatch = [\"{}\"]\n", text(&watched));
    site.start_with_config(&config);
    let core = core_file(&site);
    fs::write(watched.join("notes.txt"), "no core").unwrap();
    fs::copy(&core, watched.join("core.1")).unwrap();
    sh("chmod -R a+rX $0", &watched);
    let dump = site.wait_for(1, &[]).remove(0);
    let id = dump["summary"]["id"].as_str().unwrap().to_owned();
    assert_eq!(dump["record"]["imported"]["file"], "core.1");
    site.aground(&["rm", &id]).ok();
    site.stop();
    site.start_with_config(&config);
    fs::write(watched.join("core.2"), cut(&core)).unwrap();
    sh("chmod -R a+rX $0", &watched);
    let dumps = eventually(Duration::from_mins(1), || {
        let dumps = site.dumps(&[]);
        (!dumps.is_empty())
            .then_some(dumps)
            .ok_or("nothing was imported".to_owned())
    });
    let names: Vec<&Value> = dumps.iter().map(|dump| &dump["id"]).collect();
    assert!(names.len() == 1 && names[0] != id.as_str(), "{names:?}");
    assert!(watched.join("core.1").exists());
}

/// The same core with a byte less.
fn cut(core: &Path) -> Vec<u8> {
    let mut bytes = fs::read(core).unwrap();
    bytes.pop();
    bytes
}
