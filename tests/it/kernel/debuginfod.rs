//! Symbols that a real debuginfod server has: fetched, checked, used, and not asked for twice.

use aground_testkit::debuginfod::Debuginfod;
use aground_testkit::house::root;
use aground_testkit::http::post;
use aground_testkit::run::{eventually, finish};
use aground_testkit::site::{Site, text};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A stripped program, and beside it its debug information apart.
fn stripped(site: &Site) -> (PathBuf, PathBuf) {
    let program = site.path().join("many-threads");
    let debug = program.with_extension("debug");
    let source = root().join("tests/programs/many-threads/many-threads.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-g", "-O1", "-pthread", "-Wl,--build-id=sha1", "-o"]);
    finish(gcc.arg(&program).arg(source)).ok();
    let objcopy = |arguments: &[&str]| finish(Command::new("objcopy").args(arguments)).ok();
    objcopy(&["--only-keep-debug", text(&program), text(&debug)]);
    objcopy(&["--strip-all", text(&program)]);
    (program, debug)
}

fn module<'d>(dump: &'d Value, program: &Path) -> &'d Value {
    let modules = dump["report"]["modules"].as_array().unwrap();
    let found = modules
        .iter()
        .find(|module| module["path"] == text(program));
    found.unwrap_or_else(|| panic!("{dump:#}"))
}

/// What the service knows of the file that the program lacks.
fn missing(site: &Site, program: &Path) -> Option<Value> {
    let all = site.get("/api/v1/symbols/missing").json();
    let mut all = all["items"].as_array().unwrap().clone().into_iter();
    all.find(|file| file["module"] == text(program))
}

#[test]
fn symbols_of_a_real_server_name_the_frames_and_say_so() {
    let mut site = Site::new();
    let (program, debug) = stripped(&site);
    let (served, scratch) = (site.path().join("served"), site.path().join("scratch"));
    fs::create_dir(&served).unwrap();
    fs::create_dir(&scratch).unwrap();
    let server = Debuginfod::serve(&served, &scratch);
    site.start_with_config(&format!("[symbols]\ndebuginfod = [\"{}\"]\n", server.url()));
    {
        let _claim = site.collect();
        finish(Command::new(&program).args(["4", "16"]));
    }
    let dump = site.wait_for(1, &[]).remove(0);
    let id = dump["summary"]["id"].as_str().unwrap().to_owned();
    let build_id = module(&dump, &program)["build_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let asked = eventually(Duration::from_secs(30), || {
        let file = missing(&site, &program).unwrap();
        let answered = file["outcome"] == "no server has it";
        answered.then_some(file.clone()).ok_or(file.to_string())
    });
    assert_eq!(
        (&asked["build_id"], &asked["crashes"]),
        (&build_id.as_str().into(), &1.into())
    );
    assert_eq!(server.asked(&build_id), 1);
    let listed = site.aground(&["symbols", "missing"]).ok();
    assert!(
        listed.contains(&build_id) && listed.contains("no server has it"),
        "{listed}"
    );

    // It has it now, but is not asked on its own.
    fs::copy(&debug, served.join("many-threads.debug")).unwrap();
    server.rescan(1);
    let again = post(site.port(), &format!("/api/v1/dumps/{id}/analyze"));
    assert_eq!(again.status, 202);
    let analysed = |revision: u64| {
        eventually(Duration::from_mins(1), || {
            let dump = site.dump(&id);
            let done = dump["report"]["revision"].as_u64() >= Some(revision)
                && dump["summary"]["status"] == "analyzed";
            done.then_some(dump.clone()).ok_or(dump.to_string())
        })
    };
    let dump = analysed(2);
    assert_eq!(module(&dump, &program)["debug"], "dynsym");
    assert_eq!(server.asked(&build_id), 1);

    let told = site.aground(&["symbols", "fetch"]).ok();
    assert!(told.starts_with("asking for "), "{told}");
    let dump = analysed(3);
    let found = module(&dump, &program);
    assert_eq!(
        (&found["debug"], &found["debug_from"], &found["wanted"]),
        (&"dwarf".into(), &"debuginfod".into(), &Value::Array(vec![]))
    );
    assert_eq!(
        dump["report"]["threads"][0]["frames"][0]["function"],
        "finish"
    );
    assert_eq!(server.asked(&build_id), 2);
    assert!(missing(&site, &program).is_none());
    let said = "with symbols from debuginfod of many-threads";
    assert!(site.aground(&["bt", &id]).ok().contains(said));
    assert!(site.get(&format!("/dumps/{id}")).text().contains(said));
    let kept = site.aground(&["symbols", "ls"]).ok();
    assert!(
        kept.contains(&build_id) && kept.contains("debuginfod"),
        "{kept}"
    );
    let status = site.aground(&["status"]).ok();
    assert!(
        status.contains(&format!("1 file from {}", server.url())),
        "{status}"
    );
    let doctor = site.get("/api/v1/doctor").text();
    assert!(doctor.contains("1 asked, 1 files came"), "{doctor}");

    // A server that is gone is named, and delays nothing.
    let url = server.url();
    drop(server);
    site.aground(&["symbols", "rm", &build_id]).ok();
    site.aground(&["symbols", "fetch"]).ok();
    post(site.port(), &format!("/api/v1/dumps/{id}/analyze"));
    assert_eq!(module(&analysed(4), &program)["debug"], "dynsym");
    eventually(Duration::from_secs(30), || {
        let status = site.aground(&["status"]).ok();
        let told = status.contains("trouble") && status.contains(&url);
        told.then_some(()).ok_or(status)
    });
}
