//! Captured and uploaded files by build ID: a real gdb that has a core, an address, and no file.

use super::symbols::stripped;
use aground_testkit::run::finish;
use aground_testkit::site::{Site, text};
use std::fs;
use std::process::Command;

#[test]
fn a_debugger_with_a_core_and_an_address_has_files_names_and_lines() {
    let site = Site::started();
    let (program, debug) = stripped(&site);
    {
        let _claim = site.collect();
        finish(Command::new(&program).args(["4", "16"]));
    }
    let dump = site.wait_for(1, &[]).remove(0);
    let core = site.core(dump["summary"]["id"].as_str().unwrap());
    site.aground(&["symbols", "upload", text(&debug)]).ok();
    for gone in [&program, &debug] {
        fs::remove_file(gone).unwrap();
    }
    let shown = |servers: &str, cache: &str| {
        let mut gdb = Command::new("gdb");
        gdb.args([
            "-nx",
            "-batch",
            "-iex",
            "set debuginfod enabled on",
            "-core",
        ]);
        gdb.arg(&core).args(["-ex", "thread apply all bt"]);
        gdb.env("DEBUGINFOD_URLS", servers).env("HOME", site.path());
        gdb.env("DEBUGINFOD_CACHE_PATH", site.path().join(cache));
        finish(&mut gdb).stdout
    };
    let without = shown("", "none");
    assert!(!without.contains("many-threads.c:"), "{without}");
    let with = shown(&format!("http://127.0.0.1:{}", site.port()), "cache");
    assert!(
        with.contains("in work (") && with.contains("many-threads.c:"),
        "{with}"
    );
    let audit = site
        .aground(&["audit", "--format", "{{.What}} {{.Request}}"])
        .ok();
    for request in ["/executable", "/debuginfo"] {
        assert!(audit.contains(request), "{audit}");
    }
}
