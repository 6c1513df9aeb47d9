//! Dumps and reports that come together: each as if it had come alone.

use crate::given::*;
use aground_analyzer::report::Report;
use aground_helper::id::DumpId;
use aground_store::types::PageRequest;
use aground_store::{Arrival, Query, StoreError};
use std::fs;
use std::path::PathBuf;

#[test]
fn dumps_that_come_together_are_each_taken_in() {
    let given = Given::new();
    let records: Vec<_> = (1..=5)
        .map(|number| with_modules(in_container(number, "web", "api", &[]), &[b"shared"]))
        .collect();
    let mut entries: Vec<PathBuf> = records
        .iter()
        .map(|record| given.spool(record, &[b"shared"]))
        .collect();
    // One of them is not there.
    fs::remove_dir_all(&entries[2]).unwrap();
    let arrivals = |entries: &[PathBuf]| -> Vec<Result<(), StoreError>> {
        let pairs = records.iter().zip(entries);
        let arrivals: Vec<_> = pairs
            .map(|(record, entry)| Arrival { record, entry })
            .collect();
        given.store.admit_all(&arrivals)
    };
    let results = arrivals(&entries);
    assert!(matches!(
        results[2],
        Err(StoreError::NotFound("spool entry"))
    ));
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 4);
    assert_eq!(given.found(""), [5, 4, 2, 1]);
    assert_eq!(names(&given.path("spool/ready")), [""; 0]);
    let status = given.store.status().unwrap();
    assert_eq!((status.dumps, status.pending, status.modules), (4, 4, 1));

    // Again, as after a kill: nothing is doubled, and what is there now comes in.
    entries[2] = given.spool(&records[2], &[]);
    assert!(arrivals(&entries).iter().all(Result::is_ok));
    assert_eq!(given.found(""), [5, 4, 3, 2, 1]);
    assert_eq!(given.store.events_after(0, 10).unwrap().len(), 5);
    assert_eq!(given.store.admit_all(&[]).len(), 0);
}

#[test]
fn files_moved_together_and_cut_short_get_their_rows_at_the_next_start() {
    let given = Given::new();
    let records = [record(1), record(2), record(3)];
    for record in &records {
        let entry = given.spool(record, &[]);
        fs::rename(&entry, given.path("dumps").join(record.id.as_str())).unwrap();
    }
    let given = given.restart();
    assert_eq!(given.found(""), [0; 0]);
    assert_eq!(given.store.reindex().unwrap().admitted, 3);
    assert_eq!(given.found(""), [3, 2, 1]);
}

#[test]
fn reports_that_come_together_are_each_kept_and_grouped() {
    let together = Given::new();
    let alone = Given::new();
    let functions: [&[&str]; 5] = [
        &["parse", "main"],
        &["parse", "main"],
        &["read", "main"],
        &["parse", "main"],
        &["read", "main"],
    ];
    let mut reports: Vec<(DumpId, Report)> = vec![];
    for (number, functions) in (1..).zip(functions) {
        let record = in_container(number, "web", "api", &[("team", "core")]);
        together.admitted(&record);
        alone.analysed(&record, functions[0]);
        reports.push((record.id, report(functions)));
    }
    let results = together.store.assign_all(&reports);
    let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
    let new: Vec<bool> = results.iter().map(|assigned| assigned.new_group).collect();
    assert_eq!(new, [true, false, true, false, false]);
    for query in ["", "label:team=core", "function:parse", "function:read"] {
        assert_eq!(together.found(query), alone.found(query), "{query}");
    }
    let groups = |given: &Given| {
        let page = given
            .store
            .groups(&Query::default(), &PageRequest::default(), hour());
        page.unwrap().items
    };
    assert_eq!(groups(&together), groups(&alone));
    let whole = together.store.dump(&reports[0].0).unwrap();
    assert_eq!(whole.report.map(|report| report.revision), Some(1));
    assert_eq!(together.store.status().unwrap().pending, 0);

    // One that is wrong and one whose dump is gone hold the others up in nothing.
    reports[1].1.signature.hash = "no hash".to_owned();
    together.store.remove_dump(&reports[3].0).unwrap();
    let results = together.store.assign_all(&reports);
    assert!(matches!(results[1], Err(StoreError::BadSignature)));
    assert!(matches!(results[3], Err(StoreError::NotFound("dump"))));
    assert!([0, 2, 4].iter().all(|index| results[*index].is_ok()));
    let whole = together.store.dump(&reports[2].0).unwrap();
    assert_eq!(whole.report.map(|report| report.revision), Some(2));
    assert_eq!(groups(&together).iter().map(|g| g.count).sum::<u64>(), 4);
}
