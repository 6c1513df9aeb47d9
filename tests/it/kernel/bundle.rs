//! A crash in one file: packed beside the daemon, opened where there is none.

use aground_testkit::docker::{Container, require_engine};
use aground_testkit::programs::RELEASE;
use aground_testkit::run::{Outcome, finish, run};
use aground_testkit::site::{Site, text};
use std::path::Path;
use std::process::Command;

/// `aground open` on a machine without a daemon.
fn open(site: &Site, file: &Path, more: &[&str]) -> Outcome {
    let mut command = Command::new(site.program("aground"));
    command.env("AGROUND_HOST", "unix:///nonexistent/api.sock");
    finish(command.arg("open").arg(file).args(more))
}

#[test]
fn a_bundle_is_opened_without_the_daemon() {
    require_engine();
    let site = Site::started();
    let container = Container::new("shop-api");
    {
        let _claim = site.collect();
        container.run(&RELEASE.image("shop-api").reference, &[]);
    }
    site.wait_for(1, &["status=analyzed"]);
    let id = &*site.ids(&[])[0];
    let file = site.path().join("crash.aground");
    let said = site.aground(&["bundle", id, "--output", text(&file)]).ok();
    assert_eq!(said.trim(), text(&file));

    let here = site.aground(&["bt", id]).ok();
    assert_eq!(open(&site, &file, &[]).ok(), here);
    assert!(
        here.contains("handle_request") || here.contains("parse"),
        "{here}"
    );

    let gdb = ["--debug", "--", "-batch", "-ex", "bt"];
    let by_gdb = open(&site, &file, &gdb).ok();
    let from_daemon = site
        .aground(&["debug", "-q", id, "--", "-batch", "-ex", "bt"])
        .ok();
    let frames = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.starts_with('#'))
            .map(ToOwned::to_owned)
            .collect()
    };
    assert!(frames(&by_gdb).len() > 2, "{by_gdb}");
    assert_eq!(frames(&by_gdb), frames(&from_daemon));

    let kept = site.path().join("unpacked");
    open(&site, &file, &["--dir", text(&kept)]).ok();
    let core = site.path().join("core");
    site.aground(&["cp", id, text(&core)]).ok();
    run("cmp", &[&core, &kept.join("core")]).ok();
    let again = open(&site, &file, &["--dir", text(&kept)]).one_line_error();
    assert!(again.contains("cannot make"), "{again}");

    // What a stranger could send.
    for (what, arguments) in [
        ("cut", "head -c 5000 crash.aground > bad.aground"),
        ("text", "echo hello > bad.aground"),
        (
            "no dump first",
            "tar -C unpacked -cf - core | zstd -q > bad.aground",
        ),
        (
            "a way out",
            "cp /etc/hostname evil && zstd -qdc crash.aground > t.tar && tar -rf t.tar -P --transform 's,evil,sysroot/../../evil2,' evil && zstd -qc t.tar > bad.aground",
        ),
        (
            "a link",
            "ln -s /etc link && zstd -qdc crash.aground > t.tar && tar -rf t.tar --transform 's,^link,sysroot/link,S' link && zstd -qc t.tar > bad.aground",
        ),
    ] {
        let made = Command::new("sh")
            .arg("-c")
            .arg(arguments)
            .current_dir(site.path())
            .status();
        assert!(made.unwrap().success(), "{what}");
        let into = site.path().join(what.replace(' ', "-"));
        let bad = site.path().join("bad.aground");
        open(&site, &bad, &["--dir", text(&into)]).one_line_error();
        assert!(!site.path().join("evil2").exists());
    }
}
