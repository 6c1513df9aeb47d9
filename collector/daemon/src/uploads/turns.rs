//! One at a time for each upload, and the last who comes first: a client that lost its line comes
//! again before the service knows that the line is dead.

use crate::daemon::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

/// Turns by the ids of uploads.
#[derive(Default)]
pub(crate) struct Turns {
    places: Mutex<HashMap<String, Place>>,
    begins: Mutex<()>,
}

#[derive(Default)]
struct Place {
    /// Of the last who came.
    cut: CancellationToken,
    busy: Arc<tokio::sync::Mutex<()>>,
}

/// The right to change an upload until it is dropped.
pub(crate) struct Turn {
    cut: CancellationToken,
    _busy: OwnedMutexGuard<()>,
}

impl Turn {
    /// Waits until somebody else wants to go on.
    pub(crate) async fn cut_off(&self) {
        self.cut.cancelled().await;
    }
}

impl Turns {
    /// The right to begin one: two at once would each count on the same room.
    pub(crate) fn begin(&self) -> MutexGuard<'_, ()> {
        lock(&self.begins)
    }

    /// Cuts off who has the turn, and waits for it.
    pub(crate) async fn take(&self, id: &str) -> Turn {
        let (cut, busy) = {
            let mut places = lock(&self.places);
            let place = places.entry(id.to_owned()).or_default();
            place.cut.cancel();
            place.cut = CancellationToken::new();
            (place.cut.clone(), Arc::clone(&place.busy))
        };
        Turn {
            cut,
            _busy: busy.lock_owned().await,
        }
    }

    /// Forgets those that are gone.
    pub(crate) fn forget(&self, is_gone: impl Fn(&str) -> bool) {
        lock(&self.places).retain(|id, place| Arc::strong_count(&place.busy) > 1 || !is_gone(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_later_cuts_off_who_came_before() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        let other = turns.take("b").await;
        let (second, ()) = tokio::join!(turns.take("a"), async move {
            first.cut_off().await;
            drop(first);
        });
        turns.forget(|_| true);
        assert!(!second.cut.is_cancelled() && !other.cut.is_cancelled());
        drop((second, other));
        turns.forget(|_| true);
        assert!(lock(&turns.places).is_empty());
    }
}
