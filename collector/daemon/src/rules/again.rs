//! Applies scripts and rules to dumps whose rows were made again from files: those do not say what
//! scripts found. Slowly, in the background; a restart goes on where it was.

use super::apply_all;
use crate::daemon::{Inner, blocking, chain};
use std::sync::Arc;
use std::time::Duration;

/// Dumps that one worker looks at.
const AT_ONCE: u32 = 32;
/// How long others may have the processor then.
const PAUSE: Duration = Duration::from_millis(100);
/// How long after the last one it looks for new ones.
const REST: Duration = Duration::from_secs(15);

/// Runs until the daemon stops.
pub(crate) async fn run(daemon: Arc<Inner>) {
    loop {
        let pause = match some(&daemon).await {
            Some(true) => PAUSE,
            Some(false) => REST,
            None => return,
        };
        tokio::select! {
            () = daemon.stopped() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Whether there were any; `None` when the daemon stops.
async fn some(daemon: &Arc<Inner>) -> Option<bool> {
    let inner = Arc::clone(daemon);
    let found = blocking("look for dumps without properties", move || {
        inner.store.unscripted(AT_ONCE)
    });
    let dumps = found.await?.unwrap_or_else(|error| {
        tracing::warn!(
            error = chain(&error),
            "could not look for dumps without properties"
        );
        vec![]
    });
    if dumps.is_empty() {
        return Some(false);
    }
    let ids = dumps.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>();
    // One that stops half way leaves them for the next.
    tokio::select! {
        biased;
        () = daemon.stopped() => return None,
        () = apply_all(daemon, dumps) => {}
    }
    let inner = Arc::clone(daemon);
    let noted = blocking("note dumps with properties", move || {
        inner.store.note_scripted(&ids)
    });
    if let Err(error) = noted.await? {
        tracing::warn!(
            error = chain(&error),
            "could not note dumps with properties"
        );
        return Some(false);
    }
    Some(true)
}
