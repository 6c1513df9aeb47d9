//! Compares new signatures in the background, so that groups that may be one bug are proposed.
//!
//! Slowly: nobody waits for it, and an analysis that does want the database goes first.

use crate::daemon::{Inner, blocking, chain};
use std::sync::Arc;
use std::time::Duration;

/// Signatures compared before others may have the database.
const AT_ONCE: u32 = 16;
/// How long others may have it then.
const PAUSE: Duration = Duration::from_millis(100);
/// How long after the last one it looks for new ones.
const REST: Duration = Duration::from_secs(15);

/// Compares until the daemon stops.
pub(crate) async fn run(daemon: Arc<Inner>) {
    loop {
        let inner = Arc::clone(&daemon);
        // What is signed anew soon is not worth comparing.
        let signing = daemon.regroup.status().running;
        let compared = if signing {
            Some(Ok(0))
        } else {
            blocking("compare signatures", move || {
                inner.store.compare_signatures(AT_ONCE)
            })
            .await
        };
        let pause = match compared {
            Some(Ok(0)) => REST,
            Some(Ok(_)) => PAUSE,
            Some(Err(error)) => {
                tracing::warn!(error = chain(&error), "could not compare signatures");
                REST
            }
            None => return,
        };
        tokio::select! {
            () = daemon.stopped() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}
