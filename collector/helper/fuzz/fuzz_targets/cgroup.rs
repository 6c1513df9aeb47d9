//! Any cgroup text gives bounded, well-formed claims.
#![no_main]

use aground_helper::container::placement;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let placement = placement(text);
    assert!(placement.candidates.len() <= 32);
    for candidate in &placement.candidates {
        assert!(!candidate.id.is_empty() && candidate.id.len() <= 260);
        assert!(!candidate.id.contains('/'));
        assert!(candidate.path.starts_with('/'));
    }
    assert!(placement.unit.is_none() || placement.named().next().is_none());
});
