//! Nothing is lost on a disk that is full to the last byte, and everything goes on by itself when
//! there is room again. On a real file system, small and mounted for the test.

use aground_testkit::helper::{record, vanished_pid};
use aground_testkit::run::eventually;
use aground_testkit::site::Site;
use aground_testkit::synthetic::Core;
use serde_json::Value;
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_mins(1);

fn status(site: &Site) -> Value {
    serde_json::from_str(&site.aground(&["status", "--format", "json"]).ok()).unwrap()
}

fn reserve(site: &Site) -> u64 {
    fs::metadata(site.state().join("reserve")).map_or(0, |file| file.len())
}

fn ready(site: &Site) -> usize {
    fs::read_dir(site.state().join("spool/ready"))
        .unwrap()
        .count()
}

/// A core of so many mebibytes that do not compress.
fn core(mebibytes: usize) -> Vec<u8> {
    let mut bytes = Core::default().bytes();
    let mut state = 1_u64;
    let mut noise = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    bytes.extend((0..mebibytes << 20).map(|_| noise()));
    bytes
}

#[test]
fn a_crash_is_recorded_on_a_full_disk_and_taken_in_when_there_is_room() {
    let mut site = Site::new();
    let disk = site.on_small_disk(64);
    site.start();
    eventually(LIMIT, || {
        (reserve(&site) > 1 << 20)
            .then_some(())
            .ok_or("no reserve".to_owned())
    });
    assert_eq!(site.stop().code(), Some(0));

    disk.fill();
    let before = reserve(&site);
    for number in 1..=3 {
        record(&site, &vanished_pid(), &Core::default().bytes()).ok();
        assert_eq!(ready(&site), number, "in the spool, not somewhere else");
    }
    assert!(reserve(&site) < before, "the reserve made room");

    // It comes up on a full disk, and stays up.
    disk.fill();
    site.start();
    disk.fill();
    record(&site, &vanished_pid(), &Core::default().bytes()).ok();
    site.aground(&["ping"]).ok();
    let shown = status(&site);
    let missing = shown["retention"]["reserve_bytes"].as_u64()
        < shown["retention"]["reserve_wanted"].as_u64();
    assert!(
        missing || !shown["retention"]["unmet"].is_null(),
        "{shown:#}"
    );

    disk.empty();
    // Told of a crash, the daemon looks at everything at once instead of within a minute.
    record(&site, &vanished_pid(), &Core::default().bytes()).ok();
    let dumps = site.wait_for(5, &[]);
    assert!(
        dumps
            .iter()
            .all(|dump| dump["record"]["signal"]["name"] == "SIGSEGV")
    );
    eventually(Duration::from_secs(90), || {
        let shown = status(&site);
        let whole = shown["retention"]["reserve_bytes"] == shown["retention"]["reserve_wanted"];
        let well = whole
            && shown["waiting"].is_null()
            && shown["retention"]["reserve_bytes"].as_u64() >= Some(before);
        well.then_some(()).ok_or_else(|| format!("{shown:#}"))
    });
    site.stop();
}

#[test]
fn memory_makes_room_before_the_disk_is_full_and_no_record_goes() {
    let mut site = Site::new();
    let disk = site.on_small_disk(700);
    let limits = [
        ("AGROUND_RETENTION_MIN_FREE", "350MiB"),
        ("AGROUND_RETENTION_MAX_BYTES", "100%"),
    ];
    site.start_with_variables(&limits);
    for _ in 0..3 {
        record(&site, &vanished_pid(), &core(20)).ok();
    }
    let dumps = site.wait_for(3, &["kept=full"]);
    assert_eq!(dumps.len(), 3);
    let pinned = dumps[1]["summary"]["id"].as_str().unwrap().to_owned();
    site.aground(&["pin", &pinned]).ok();

    disk.fill();
    let unmet = eventually(LIMIT, || {
        let shown = status(&site);
        let unmet = shown["retention"]["unmet"].as_str().map(str::to_owned);
        unmet.ok_or_else(|| format!("{shown:#}\n{}", site.log_text()))
    });
    assert!(
        unmet.contains("1 pinned dumps hold") && unmet.contains("would not be enough"),
        "{unmet}"
    );
    assert_eq!(site.dumps(&["kept=none"]).len(), 2, "{}", site.log_text());
    assert_eq!(site.dumps(&["kept=full"]).len(), 1, "the pinned one");

    // What was freed is used up by somebody else as well, and yet a crash is recorded.
    disk.fill();
    record(&site, &vanished_pid(), &core(1)).ok();
    disk.empty();
    let dumps = site.wait_for(4, &[]);
    let newest = &dumps[0]["record"]["capture"];
    assert_eq!(newest["kept"], "none");
    assert!(
        newest["reason"]
            .as_str()
            .unwrap()
            .contains("bytes of disk are free"),
        "{newest}"
    );
    eventually(Duration::from_secs(90), || {
        let unmet = &status(&site)["retention"]["unmet"];
        unmet
            .is_null()
            .then_some(())
            .ok_or_else(|| unmet.to_string())
    });
    site.stop();
}

#[test]
fn crashes_wait_in_the_spool_of_a_full_disk_and_the_status_says_so() {
    const CRASHES: usize = 12;
    let mut site = Site::new();
    let disk = site.on_small_disk(64);
    for _ in 0..CRASHES {
        record(&site, &vanished_pid(), &Core::default().bytes()).ok();
    }
    let (ready, parked) = (
        site.state().join("spool/ready"),
        site.state().join("parked"),
    );
    fs::rename(&ready, &parked).unwrap();
    site.start();
    // Not even the reserve is left.
    eventually(LIMIT, || {
        (reserve(&site) > 0)
            .then_some(())
            .ok_or("no reserve".to_owned())
    });
    fs::File::options()
        .write(true)
        .open(site.state().join("reserve"))
        .and_then(|file| file.set_len(0))
        .unwrap();
    disk.fill();
    for entry in fs::read_dir(&parked).unwrap() {
        let entry = entry.unwrap();
        fs::rename(entry.path(), ready.join(entry.file_name())).unwrap();
    }
    let why = eventually(LIMIT, || {
        let shown = status(&site);
        let why = shown["waiting"].as_str().map(str::to_owned);
        why.ok_or_else(|| format!("{shown:#}"))
    });
    assert!(why.contains("full") || why.contains("No space"), "{why}");
    let page = site.get("/status");
    assert!(page.text().contains("Crashes wait in the spool."));
    for path in ["/", "/groups"] {
        let page = site.get(path).text();
        assert!(page.contains("Storage needs attention."), "{path}: {page}");
    }
    disk.empty();
    site.wait_for(CRASHES, &[]);
    eventually(LIMIT, || {
        let waiting = &status(&site)["waiting"];
        waiting
            .is_null()
            .then_some(())
            .ok_or_else(|| waiting.to_string())
    });
    site.stop();
}
