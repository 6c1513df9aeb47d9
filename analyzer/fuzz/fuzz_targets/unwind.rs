//! Any bytes in place of a program's file, with a whole core: unwind tables, section headers and
//! debug information that lie.
#![no_main]

use aground_analyzer::analyze::{Facts, analyze};
use aground_analyzer::dump::source::CoreBytes;
use aground_analyzer::mapped::Bytes;
use aground_analyzer::modules::{ModuleSource, Offer, Wanted, WantedDebug};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// Of the environment variable `AGROUND_FUZZ_CORE`, a file.
static CORE: LazyLock<Bytes> = LazyLock::new(|| {
    let path = std::env::var_os("AGROUND_FUZZ_CORE").expect("AGROUND_FUZZ_CORE names a core");
    Bytes::from(std::fs::read(path).expect("the core can be read"))
});

struct Always(Bytes);

impl Always {
    fn offer(&self) -> Offer {
        Offer {
            bytes: self.0.clone(),
            origin: "given",
        }
    }
}

impl ModuleSource for Always {
    fn images(&mut self, _wanted: Wanted<'_>) -> Vec<Offer> {
        vec![self.offer()]
    }

    fn debug_file(&mut self, _wanted: WantedDebug<'_>) -> Option<Offer> {
        Some(self.offer())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut files = Always(Bytes::from(bytes.to_vec()));
    let report = analyze(
        Some(CoreBytes::new(CORE.clone())),
        &mut files,
        &Facts::default(),
    );
    assert!(report.is_ok());
});
