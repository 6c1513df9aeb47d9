//! Moves crashes of large groups after merges and splits, some at a time: crashes that come and
//! their analyses may write in between.

use crate::daemon::{Inner, blocking, chain};
use std::sync::Arc;
use std::time::Duration;

/// How long others may write between two steps.
const PAUSE: Duration = Duration::from_millis(50);
/// How often it looks for a decision that has left something to move.
const REST: Duration = Duration::from_secs(2);

/// Runs until the daemon stops.
pub(crate) async fn run(daemon: Arc<Inner>) {
    loop {
        let inner = Arc::clone(&daemon);
        let pause = match blocking("move crashes", move || inner.store.reroute()).await {
            Some(Ok(true)) => PAUSE,
            Some(Ok(false)) => REST,
            Some(Err(error)) => {
                tracing::warn!(
                    error = chain(&error),
                    "could not move crashes to their group"
                );
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
