//! Any mountinfo gives claims whose ids are safe as names of files.
#![no_main]

use aground_helper::container::mounts::claims;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let claims = claims(text);
    for named in claims.container().into_iter().chain(&claims.network) {
        assert!(!named.id.is_empty() && named.id.len() <= 128 && !named.id.contains('/'));
    }
    let names = claims.pod_uid.iter().chain(&claims.pod_container);
    assert!(names.clone().all(|name| name.len() <= 128 && !name.contains('/')));
});
