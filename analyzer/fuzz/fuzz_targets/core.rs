//! Any bytes are a core with a report that can be written, or no core.
#![no_main]

use aground_analyzer::analyze::{Facts, analyze};
use aground_analyzer::dump::source::CoreBytes;
use aground_analyzer::mapped::Bytes;
use aground_analyzer::modules::{ModuleSource, Offer, Wanted};
use libfuzzer_sys::fuzz_target;

struct NoFiles;

impl ModuleSource for NoFiles {
    fn images(&mut self, _wanted: Wanted<'_>) -> Vec<Offer> {
        Vec::new()
    }
}

fuzz_target!(|bytes: &[u8]| {
    let core = CoreBytes::new(Bytes::from(bytes.to_vec()));
    if let Ok(report) = analyze(Some(core), &mut NoFiles, &Facts::default()) {
        assert!(serde_json::to_vec(&report).is_ok());
    }
});
