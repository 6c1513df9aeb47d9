//! Streams events: those that a reader missed, then each as it happens (server-sent events).
//!
//! All come from the store, in the order of their numbers, so that nothing is lost or told twice
//! between what is replayed and what is live; what the service says as it happens only wakes us.

use super::blocking;
use super::parameters::Parameters;
use crate::App;
use crate::cli::moment;
use crate::problem::Problem;
use aground_daemon::Event;
use aground_store::types::DumpSummary;
use aground_store::{Query, StoreError};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse;
use futures_util::{Stream, StreamExt, stream};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

/// How often a reader looks without being woken.
const LOOK: Duration = Duration::from_secs(10);
/// How long what happens is gathered before it is told.
const GATHER: Duration = Duration::from_millis(50);
/// What a reader whose connection broke shall wait before it comes again.
const RETRY: Duration = Duration::from_secs(2);
/// What one for whom there was no seat shall wait.
const LATER: Duration = Duration::from_secs(30);

/// What one message says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventMessage {
    /// `dump` (taken in), `report` (analysed), `memory` (some was given up) or `removed`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its number, which is also the message's id.
    pub sequence: i64,
    /// When, milliseconds since the epoch.
    pub at_ms: i64,
    /// The dump's id.
    pub id: String,
    /// The group it went to, of a report.
    pub group: Option<String>,
    /// Whether that group is new.
    pub new: bool,
    /// The dump as it is now; `None` once it has been removed.
    pub dump: Option<DumpSummary>,
}

/// `GET /api/v1/events`: one message per event, named after its type.
///
/// The stream goes on after the header `Last-Event-ID`, else after the number `after=`, else with
/// what happened since the time `since=`, else with what happens from now on. It ends at the time
/// `until=`, and only when the service stops without it. With a query it has only events of dumps
/// that match and are still there. Where events have been forgotten since, the first message is
/// `reset`: the reader must load anew. 503 while as many follow as may.
pub async fn events(
    State(app): State<App>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<sse::Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Problem> {
    parameters.only(&["after", "since", "until", "query", "filter", "saved"])?;
    let query = parameters.query(&app)?;
    let seat = Arc::clone(&app.gate.listeners).try_acquire_owned();
    let seat = seat.map_err(|_| full())?;
    // Before the first look, so that nothing happens unseen after it.
    let wake = app.daemon.subscribe();
    let asked = match headers.get("last-event-id") {
        Some(id) => Some(number("Last-Event-ID", id.to_str().unwrap_or_default())?),
        None => parameters
            .get("after")
            .map(|text| number("after", text))
            .transpose()?,
    };
    let since = time(&parameters, "since")?;
    let until_ms = time(&parameters, "until")?;
    let (start, range) = blocking(&app, move |store| {
        let range = store.event_range()?;
        let start = match (asked, since) {
            (Some(asked), _) => asked,
            (None, Some(since)) => store.event_before(since)?,
            (None, None) => range.newest,
        };
        Ok::<_, StoreError>((start, range))
    })
    .await?;
    // Numbers from another database are no place in this one.
    let known = (range.oldest.saturating_sub(1)..=range.newest).contains(&start);
    let position = if known {
        start
    } else {
        range.oldest.saturating_sub(1)
    };
    let hello = sse::Event::default().id(position.to_string()).retry(RETRY);
    let reset = (!known).then(|| sse::Event::default().event("reset").data("{}"));
    let follower = Follower {
        app: app.clone(),
        query: (query != Query::default()).then_some(query),
        position,
        until_ms,
        waiting: VecDeque::new(),
        caught_up: false,
        wake,
        _seat: seat,
    };
    let live = stream::unfold(follower, |mut follower| async {
        let message = follower.next().await?;
        Some((message, follower))
    });
    let stopping = app.stopping.clone();
    let messages = stream::iter(std::iter::once(hello).chain(reset))
        .chain(live)
        .map(Ok)
        .take_until(async move { stopping.cancelled().await });
    Ok(sse::Sse::new(messages).keep_alive(sse::KeepAlive::default()))
}

/// No seat is free.
fn full() -> Problem {
    let detail = "as many follow events as event_listeners of [web] allows: come again later";
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too-many-listeners",
        detail,
    )
    .come_again(LATER)
}

fn number(name: &str, text: &str) -> Result<i64, Problem> {
    let number = text.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| Problem::bad_parameter(format!("{name} \"{text}\" is no event's number")))
}

/// A time as everywhere else, milliseconds since the epoch.
fn time(parameters: &Parameters, name: &str) -> Result<Option<i64>, Problem> {
    let Some(text) = parameters.get(name).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let time = moment::parse(text, Timestamp::now(), &TimeZone::UTC);
    let time = time.map_err(|error| Problem::bad_parameter(format!("{name}: {error}")))?;
    Ok(Some(time.as_millisecond()))
}

/// One reader and where it is.
struct Follower {
    app: App,
    query: Option<Query>,
    /// The number of the last event that was looked at.
    position: i64,
    until_ms: Option<i64>,
    /// Messages that were read and not yet sent.
    waiting: VecDeque<sse::Event>,
    /// Whether there was nothing after that when it was read.
    caught_up: bool,
    wake: broadcast::Receiver<Event>,
    _seat: OwnedSemaphorePermit,
}

impl Follower {
    /// The next message; `None` when there will be none.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            if self.caught_up && !self.wait().await {
                return None;
            }
            let query = self.query.clone();
            let batch = self.app.feed.after(&self.app, self.position, query).await;
            // What fails has been logged; the reader comes again after its last event.
            let batch = batch.ok()?;
            let ends = self.until_ms.unwrap_or(i64::MAX);
            let wanted = batch.said.iter().take_while(|said| said.at_ms < ends);
            let before = self.waiting.len();
            self.waiting.extend(wanted.map(|said| said.message.clone()));
            self.position = batch.last;
            self.caught_up = batch.whole;
            if self.waiting.len() - before < batch.said.len() {
                // What is left to say is said, and then there is nothing.
                (self.until_ms, self.caught_up) = (Some(i64::MIN), true);
            }
        }
    }

    /// Waits until something may have happened; whether there is anything to wait for.
    async fn wait(&mut self) -> bool {
        let now = Timestamp::now().as_millisecond();
        let ends = self.until_ms.unwrap_or(i64::MAX);
        let Some(left) = ends.checked_sub(now).filter(|left| *left > 0) else {
            return false;
        };
        let left = Duration::from_millis(left.unsigned_abs()).min(LOOK);
        match tokio::time::timeout(left, self.wake.recv()).await {
            Ok(Err(RecvError::Closed)) => return false,
            // Whoever lags is merely awake. What happens meanwhile is told together.
            Ok(_) => {
                tokio::time::sleep(GATHER).await;
                while self.wake.try_recv().is_ok() {}
            }
            Err(_) => {}
        }
        true
    }
}
