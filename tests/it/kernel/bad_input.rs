//! `aground analyze` on a real core: the same report as the daemon's, and an honest one when the
//! core is cut or the executable is another.

use aground_testkit::docker::{Container, require_engine};
use aground_testkit::gdb;
use aground_testkit::programs::{NEXT_RELEASE, RELEASE};
use aground_testkit::site::{Site, text};
use serde_json::Value;
use std::path::Path;

#[test]
fn offline_analysis_equals_the_daemons_and_owns_up_to_what_it_lacks() {
    require_engine();
    let image = RELEASE.image("shop-api");
    let site = Site::started();
    let container = Container::new("shop-api");
    {
        let _claim = site.collect();
        container.run(&image.reference, &[]);
    }
    let dump = site.dump_of(&container.name);
    let core = site.core(dump["summary"]["id"].as_str().unwrap());
    let executable = image.root.join("app/shop-api");

    let report = analyze(&site, &core, &executable, &image.root);
    let (offline, daemons) = (gdb::reported(&report), gdb::reported(&dump["report"]));
    assert_eq!(offline.len(), daemons.len());
    for (offline, daemons) in offline.iter().zip(daemons) {
        // Debug files of this machine may name what the daemon has no symbols for.
        if daemons.function.is_some() {
            assert_eq!(offline.function, daemons.function);
        }
        if daemons.line.is_some() {
            assert_eq!(*offline, daemons);
        }
    }
    assert_eq!(
        report["signature"]["hash"],
        dump["report"]["signature"]["hash"]
    );
    assert_eq!(report["cause"]["kind"], "null-dereference");

    let other = NEXT_RELEASE.image("shop-api").root.join("app/shop-api");
    let report = analyze(&site, &core, &other, Path::new("/nonexistent"));
    let first = &report["threads"][0]["frames"][0];
    assert_eq!(
        first["file"],
        Value::Null,
        "a file of another build named a line: {first:#}"
    );
    assert!(
        !report["warnings"].as_array().unwrap().is_empty()
            || report["modules"].to_string().contains("build"),
        "{report:#}"
    );

    let whole = std::fs::read(&core).unwrap();
    let cut = site.path().join("cut.core");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let report = analyze(&site, &cut, &executable, &image.root);
    assert_eq!(report["core"]["truncated"], true);
    assert!(!report["warnings"].as_array().unwrap().is_empty());
    assert_eq!(report["process"]["signal"]["name"], "SIGSEGV");
}

fn analyze(site: &Site, core: &Path, executable: &Path, sysroot: &Path) -> Value {
    let arguments = [
        "analyze",
        text(core),
        "--exe",
        text(executable),
        "--sysroot",
        text(sysroot),
        "--format",
        "json",
    ];
    serde_json::from_str(&site.aground(&arguments).ok()).unwrap()
}
