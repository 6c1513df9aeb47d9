//! What the Docker CLI prints under "What's next:" after somebody's command (docker/cli, hooks).
//!
//! The CLI does not say how a container ended: 28.2 gives no error for `docker run` with exit code
//! 139. So what counts is whether one crashed just now. The answer is a Go template, and nothing
//! goes into it but an id: names were chosen by containers.

use crate::client::{Client, Endpoint};
use aground_daemon::DaemonStatus;
use aground_store::types::{DumpSummary, Page};
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// An older crash was hardly of this command.
const RECENT_MS: i64 = 60_000;
/// How long a crash that is being captured is waited for: somebody waits for a prompt.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// The answer to the CLI, when there is something to say.
pub fn answer(daemon: Endpoint) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let crashed = runtime.block_on(recent(&Client::new(daemon)))?;
    let id = crashed.id.short();
    let said = format!("A container crashed just now. To see why: docker dumps bt {id}");
    Some(json!({ "Type": 0, "Template": said }).to_string())
}

/// The newest crash, if it is of just now. The engine says that a container has ended before all
/// about its crash is read, so what arrives is waited for.
async fn recent(client: &Client) -> Option<DumpSummary> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        let status = timeout_at(end, client.get::<DaemonStatus>("/api/v1/status")).await;
        let status = status.ok()?.ok();
        if status.is_none_or(|status| status.spool_incoming + status.spool_ready == 0) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let newest = client.get("/api/v1/dumps?limit=1");
    let page: Page<DumpSummary> = timeout(PATIENCE, newest).await.ok()?.ok()?;
    let now = jiff::Timestamp::now().as_millisecond();
    page.items.into_iter().find(|dump| {
        dump.container.is_some() && now.saturating_sub(dump.crashed_at_ms) <= RECENT_MS
    })
}
