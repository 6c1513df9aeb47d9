//! The crashes: their reports, what is true of them, and the groups a store gives them.

use aground_analyzer::group::{Rules, sign_again};
use aground_analyzer::offline::{OfflineRequest, analyze as analyze_core};
use aground_analyzer::report::Report;
use aground_helper::id::DumpId;
use aground_helper::record::Record;
use aground_store::Store;
use std::fs;
use std::path::{Path, PathBuf};

/// A crash and its truth.
pub struct Crash {
    /// The program it is of: `c`, `cc`, `rs`, `go`.
    pub program: String,
    /// The bug, and without symbols the build too: nothing relates an offset to another build.
    pub truth: String,
    /// Which of the three ways led to the bug.
    pub way: String,
    /// Which build.
    pub build: String,
    /// Where its functions have their names from: `dwarf`, `symtab` or `none`.
    pub names: String,
    /// Its report, signed by today's rules.
    pub report: Report,
}

/// Bugs that are one function's, which several numbers reach: `Cache<K, V>::find` of two types,
/// `Cart<T>::item` of two types.
const SAME: [(&str, &str); 2] = [("cc.8", "cc.7"), ("rs.1", "rs.0")];

/// Analyses cores whose names are `<bug>.<way>`.
pub fn analyze(cores: &Path, program: &Path, reports: &Path, name: &str) {
    let prefix = name.split('-').next().unwrap();
    for core in fs::read_dir(cores).unwrap() {
        let core = core.unwrap().path();
        let request = OfflineRequest {
            core: core.clone(),
            exe: Some(program.to_owned()),
            ..OfflineRequest::default()
        };
        let report = analyze_core(&request).unwrap();
        let number = core.file_name().unwrap().to_str().unwrap().to_owned();
        let file = reports.join(format!("{prefix}.{number}.{name}.json"));
        fs::write(file, serde_json::to_vec(&report).unwrap()).unwrap();
        fs::remove_file(core).unwrap();
    }
}

/// Reads all reports, in the order of their names.
pub fn read(directory: &Path) -> Vec<Crash> {
    let files = fs::read_dir(directory).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| crash(file)).collect()
}

fn crash(file: &Path) -> Crash {
    let name = file.file_name().unwrap().to_str().unwrap();
    let [program, bug, way, build, names, "json"] = name.split('.').collect::<Vec<_>>()[..] else {
        panic!("{name} is not named <program>.<bug>.<way>.<build>.<names>.json");
    };
    let mut report: Report = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    report.signature = sign_again(&report, Rules::built_in());
    let bug = format!("{program}.{bug}");
    let same = SAME.iter().find(|(other, _)| *other == bug);
    let bug = same.map_or(bug.as_str(), |(_, bug)| bug);
    let named = names != "none";
    Crash {
        program: program.to_owned(),
        truth: if named {
            bug.to_owned()
        } else {
            format!("{bug}@{build}")
        },
        way: way.to_owned(),
        build: build.to_owned(),
        names: names.to_owned(),
        report,
    }
}

/// The group of each crash when they arrive in one of many orders; order 0 is the given one.
pub fn assign(crashes: &[&Crash], order: u64) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).unwrap();
    let ids: Vec<DumpId> = (0..crashes.len())
        .map(|number| admit(&store, directory.path(), number))
        .collect();
    for number in shuffled(crashes.len(), order) {
        store
            .save_report(&ids[number], &crashes[number].report)
            .unwrap();
    }
    let group = |id: &DumpId| store.dump(id).unwrap().summary.group.unwrap();
    ids.iter().map(group).collect()
}

fn admit(store: &Store, root: &Path, number: usize) -> DumpId {
    let record = Record {
        schema: 1,
        id: DumpId::from_bytes(u128::try_from(number).unwrap().to_be_bytes()),
        ..Record::default()
    };
    let entry = root.join("spool/ready").join(record.id.as_str());
    fs::create_dir_all(entry.join("modules")).unwrap();
    fs::write(
        entry.join("record.json"),
        serde_json::to_vec(&record).unwrap(),
    )
    .unwrap();
    store.admit(&record, &entry).unwrap();
    record.id
}

/// Numbers below `count` in an order that depends on nothing but `order`.
fn shuffled(count: usize, order: u64) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    let mixed = |number: &usize| {
        let seed = u64::try_from(*number).unwrap() ^ (order << 32);
        let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        seed ^ (seed >> 31)
    };
    if order > 0 {
        numbers.sort_by_key(mixed);
    }
    numbers
}
