//! Signs crashes anew in the background when the rules are others than those that signed them.
//!
//! Only reports are read, no memory. Groups keep their ids: each follows the signature it began
//! with. It begins with the daemon, and goes on where it was when the daemon ended.

use crate::daemon::{Inner, blocking, chain};
use crate::label;
use aground_analyzer::group::sign_again;
use aground_store::StoreError;
use std::sync::Arc;
use std::time::Duration;

/// Crashes that are signed before others may have the database.
const AT_ONCE: u32 = 32;
/// How long others may have it then.
const PAUSE: Duration = Duration::from_millis(50);

/// Runs until every crash is signed by the rules in force, or the daemon stops.
pub(crate) async fn run(daemon: Arc<Inner>) {
    let (mut after, mut signed, mut moved) = (0, 0_u64, 0_u64);
    loop {
        let inner = Arc::clone(&daemon);
        match blocking("sign crashes anew", move || batch(&inner, after)).await {
            Some(Ok(Some(done))) => {
                after = done.last;
                signed += done.signed;
                moved += done.moved;
            }
            Some(Ok(None)) => break,
            Some(Err(error)) => {
                tracing::error!(
                    error = chain(&error),
                    "could not sign crashes anew; the rest waits for the next start"
                );
                return;
            }
            None => return,
        }
        tokio::select! {
            () = daemon.stopped() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    if signed > 0 {
        tracing::info!(signed, moved, "crashes were signed by the rules in force");
    }
}

struct Done {
    last: i64,
    signed: u64,
    moved: u64,
}

/// The next crashes after one; nothing when there are no more.
fn batch(daemon: &Inner, after: i64) -> Result<Option<Done>, StoreError> {
    let store = &daemon.store;
    let crashes = store.signed_otherwise(&daemon.grouping, after, AT_ONCE)?;
    let Some((last, _)) = crashes.last() else {
        store.forget_signatures(&daemon.grouping)?;
        return Ok(None);
    };
    let mut done = Done {
        last: *last,
        signed: 0,
        moved: 0,
    };
    for (_, id) in &crashes {
        let Some(report) = store.report(id) else {
            continue;
        };
        let mut signature = sign_again(&report, &daemon.grouping);
        match store.record(id) {
            Ok(record) => label::group(&record, &mut signature),
            Err(StoreError::NotFound(_)) => continue,
            Err(error) => return Err(error),
        }
        match store.sign(id, &signature) {
            Ok(moved) => {
                done.signed += 1;
                done.moved += u64::from(moved);
            }
            // Removed since, or a hash that a hostile report made.
            Err(StoreError::NotFound(_) | StoreError::BadSignature) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(done))
}
