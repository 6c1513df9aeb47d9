//! Debug files that the crashed program's own world has: taken when the operator gives them room.

use aground_testkit::house::root;
use aground_testkit::run::finish;
use aground_testkit::site::{Site, text};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A world of its own with a stripped static program in it, and its debug file outside.
struct World {
    root: PathBuf,
    debug: PathBuf,
    /// Where its debug file belongs.
    place: PathBuf,
}

impl World {
    fn new(site: &Site, name: &str) -> Self {
        let root_dir = site.path().join(name);
        let debug = site.path().join(format!("{name}.debug"));
        fs::create_dir(&root_dir).unwrap();
        let program = root_dir.join("many-threads");
        let source = root().join("tests/programs/many-threads/many-threads.c");
        let mut gcc = Command::new("gcc");
        // Another content, another build ID.
        let own = site.path().join(format!("{name}.c"));
        fs::write(&own, format!("const char world[] = \"{name}\";")).unwrap();
        gcc.args(["-g", "-O1", "-pthread", "-static", "-Wl,--build-id=sha1"]);
        gcc.arg(own).arg("-o");
        finish(gcc.arg(&program).arg(source)).ok();
        let objcopy = |arguments: &[&str]| finish(Command::new("objcopy").args(arguments)).ok();
        objcopy(&["--only-keep-debug", text(&program), text(&debug)]);
        objcopy(&["--strip-all", text(&program)]);
        let id = build_id(&program);
        let (head, rest) = id.split_at(2);
        let place = root_dir
            .join("usr/lib/debug/.build-id")
            .join(head)
            .join(format!("{rest}.debug"));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        Self {
            root: root_dir,
            debug,
            place,
        }
    }

    /// Crashes the program there; the dump of it.
    fn crash(&self, site: &Site, count: usize) -> Value {
        {
            let _claim = site.collect();
            let mut chroot = Command::new("chroot");
            finish(chroot.arg(&self.root).args(["/many-threads", "2", "1"]));
        }
        site.wait_for(count, &[]).remove(0)
    }
}

fn build_id(program: &Path) -> String {
    let notes = finish(Command::new("readelf").arg("-n").arg(program)).ok();
    let line = notes
        .lines()
        .find_map(|line| line.trim().strip_prefix("Build ID: "));
    line.unwrap().to_owned()
}

fn module(dump: &Value) -> &Value {
    let modules = dump["report"]["modules"].as_array().unwrap();
    let is_it = |module: &&Value| module["path"].as_str().unwrap().ends_with("/many-threads");
    modules.iter().find(is_it).unwrap()
}

#[test]
fn the_programs_own_debug_files_name_its_frames() {
    let mut site = Site::new();
    site.start_with_config("[capture]\ndebug_max = \"8MiB\"\n");

    // Where distributions put them, and as a link inside that world.
    let plain = World::new(&site, "plain");
    fs::copy(&plain.debug, &plain.place).unwrap();
    let linked = World::new(&site, "linked");
    fs::copy(&linked.debug, linked.root.join("real.debug")).unwrap();
    symlink("/real.debug", &linked.place).unwrap();
    for (count, world) in [(1, &plain), (2, &linked)] {
        let dump = world.crash(&site, count);
        let found = module(&dump);
        assert_eq!(
            (&found["debug"], &found["debug_from"]),
            (&"dwarf".into(), &"captured".into()),
            "{dump:#}"
        );
        assert_eq!(
            dump["report"]["threads"][0]["frames"][0]["function"],
            "finish"
        );
        let id = dump["summary"]["id"].as_str().unwrap();
        let shown = site.aground(&["bt", id]).ok();
        assert!(
            shown.contains("with the container's own symbols of many-threads"),
            "{shown}"
        );
        let gdb = ["-nx", "-batch", "-ex", "bt"];
        let debugger = site
            .aground(&[&["debug", "-q", id, "--"], &gdb[..]].concat())
            .ok();
        assert!(debugger.contains("many-threads.c:"), "{debugger}");
        let kept = dump["record"]["debug_files"].as_array().unwrap();
        assert_eq!(kept.len(), 1, "{kept:?}");
    }

    // What is not the program's, is for root alone, leads out, is none or too much does not count.
    let other = World::new(&site, "other");
    fs::copy(&plain.debug, &other.place).unwrap();
    let private = World::new(&site, "private");
    fs::copy(&private.debug, &private.place).unwrap();
    fs::set_permissions(&private.place, fs::Permissions::from_mode(0o600)).unwrap();
    let outside = World::new(&site, "outside");
    symlink(&outside.debug, &outside.place).unwrap();
    let fifo = World::new(&site, "fifo");
    finish(Command::new("mkfifo").arg(&fifo.place)).ok();
    let large = World::new(&site, "large");
    fs::copy(&large.debug, &large.place).unwrap();
    fs::File::options()
        .write(true)
        .open(&large.place)
        .unwrap()
        .set_len(9 << 20)
        .unwrap();
    let refused = [
        (&other, Some("its build ID is another")),
        (&private, Some("not everybody may read it")),
        (&outside, None),
        (&fifo, Some("it is no regular file")),
        (&large, Some("were left for it")),
    ];
    for ((world, why), count) in refused.into_iter().zip(3..) {
        let dump = world.crash(&site, count);
        assert_eq!(module(&dump)["debug_from"], Value::Null, "{dump:#}");
        let files = dump["record"]["debug_files"].as_array();
        let missing = files.map(|files| files[0]["missing"].as_str().unwrap().to_owned());
        assert_eq!(missing.is_some(), why.is_some(), "{missing:?}");
        assert!(
            missing
                .unwrap_or_default()
                .contains(why.unwrap_or_default())
        );
    }
}

#[test]
fn nothing_is_taken_unless_asked_for() {
    let site = Site::started();
    let world = World::new(&site, "plain");
    fs::copy(&world.debug, &world.place).unwrap();
    let dump = world.crash(&site, 1);
    assert_eq!(module(&dump)["debug_from"], Value::Null);
    assert!(dump["record"]["debug_files"].is_null());
}
