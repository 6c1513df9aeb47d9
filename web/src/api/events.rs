//! Streams events as they happen (server-sent events).

use crate::App;
use aground_daemon::Event;
use axum::extract::State;
use axum::response::sse;
use futures_util::{Stream, StreamExt};
use std::convert::Infallible;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;

/// `GET /api/v1/events`: one message per event, named after its type. A reader that was too slow
/// gets `reset` and must load anew.
pub async fn events(
    State(app): State<App>,
) -> sse::Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let stopping = app.stopping.clone();
    let messages = BroadcastStream::new(app.daemon.subscribe())
        .map(|received| Ok(message(received)))
        .take_until(async move { stopping.cancelled().await });
    sse::Sse::new(messages).keep_alive(sse::KeepAlive::default())
}

fn message(received: Result<Event, BroadcastStreamRecvError>) -> sse::Event {
    let Ok(event) = received else {
        return sse::Event::default().event("reset").data("{}");
    };
    let name = match event {
        Event::Dump { .. } => "dump",
        Event::Report { .. } => "report",
        Event::Removed { .. } => "removed",
        Event::Memory { .. } => "memory",
    };
    let data = serde_json::to_string(&event).unwrap_or_default();
    sse::Event::default().event(name).data(data)
}
