//! Reads events once for all who follow them: a hundred open pages do not ask the database a
//! hundred times for the same.

use super::blocking;
use super::events::EventMessage;
use crate::App;
use crate::problem::Problem;
use aground_helper::id::DumpId;
use aground_store::access::Sight;
use aground_store::types::DumpSummary;
use aground_store::{Query, Store, StoreError, StoredEvent};
use axum::response::sse;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Mutex;

/// Events read at a time.
const BATCH: usize = 256;

/// What is said of an event.
#[derive(Clone, Debug)]
pub struct Said {
    /// When it happened, milliseconds since the epoch.
    pub at_ms: i64,
    /// As it is sent.
    pub message: sse::Event,
}

/// Events after one number.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Those that somebody wants to hear of.
    pub said: Arc<[Said]>,
    /// The number of the last event that was looked at.
    pub last: i64,
    /// Whether there were no more.
    pub whole: bool,
}

/// Whose events, after which number, and since when that was read.
struct Read {
    sight: Sight,
    after: i64,
    began: Instant,
    batch: Batch,
}

/// What was read last.
#[derive(Default)]
pub struct Feed(Mutex<Option<Read>>);

impl Feed {
    /// The events after a number, as they are now or later. Who asks while another reads the same
    /// waits for that and gets it, as long as the reading began after the asking.
    pub async fn after(
        &self,
        app: &App,
        after: i64,
        query: Option<Query>,
    ) -> Result<Batch, Problem> {
        if query.is_some() {
            return blocking(app, move |store| read(store, after, query.as_ref())).await;
        }
        let asked = Instant::now();
        let sight = app.daemon.store().sight();
        let mut known = self.0.lock().await;
        let same = known
            .as_ref()
            .filter(|known| known.after == after && known.began >= asked && known.sight == *sight);
        if let Some(known) = same {
            return Ok(known.batch.clone());
        }
        let began = Instant::now();
        let batch = blocking(app, move |store| read(store, after, None)).await?;
        *known = Some(Read {
            sight: sight.clone(),
            after,
            began,
            batch: batch.clone(),
        });
        Ok(batch)
    }
}

fn read(store: &Store, after: i64, query: Option<&Query>) -> Result<Batch, StoreError> {
    let events = store.events_after(after, BATCH)?;
    let last = events.last().map_or(after, |event| event.sequence);
    let whole = events.len() < BATCH;
    let mut said = Vec::with_capacity(events.len());
    for event in events {
        let id: Option<DumpId> = event.dump.parse().ok();
        if let Some(query) = query {
            let matches = match &id {
                Some(id) => store.dump_matches(query, id)?,
                None => false,
            };
            if !matches {
                continue;
            }
        }
        let dump = id.and_then(|id| store.dump_summary(&id).ok());
        said.push(say(event, dump));
    }
    Ok(Batch {
        said: said.into(),
        last,
        whole,
    })
}

fn say(event: StoredEvent, dump: Option<DumpSummary>) -> Said {
    let message = EventMessage {
        kind: event.kind,
        sequence: event.sequence,
        at_ms: event.at_ms,
        id: event.dump,
        group: event.group,
        new: event.new_group,
        dump,
    };
    let data = serde_json::to_string(&message).unwrap_or_default();
    Said {
        at_ms: message.at_ms,
        message: sse::Event::default()
            .id(message.sequence.to_string())
            .event(&message.kind)
            .data(data),
    }
}
