//! What the Docker CLI prints under "What's next:" after somebody's command (docker/cli, hooks).
//!
//! The CLI hands over the command as JSON and takes a Go template for its answer, so nothing goes
//! into that but ids: names were chosen by containers.

use crate::client::{Client, Endpoint};
use aground_store::types::{DumpSummary, Page};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// A crash this old was not of this command.
const RECENT_MS: i64 = 60_000;
/// Somebody waits for a prompt.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Finished {
    #[serde(default)]
    root_cmd: String,
    #[serde(default)]
    command_error: String,
}

impl Finished {
    /// Whether it ran a program, and that ended well.
    fn went_well(&self) -> bool {
        let verb = self.root_cmd.rsplit(' ').next().unwrap_or_default();
        ["run", "start", "exec"].contains(&verb) && self.command_error.is_empty()
    }
}

/// The answer to the CLI, when there is something to say.
pub fn answer(command: &str, daemon: Endpoint) -> Option<String> {
    let command: Finished = serde_json::from_str(command).ok()?;
    if command.went_well() {
        return None;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let client = Client::new(daemon);
    let newest = async { client.get("/api/v1/dumps?limit=1").await };
    let page: Page<DumpSummary> =
        runtime.block_on(async { tokio::time::timeout(PATIENCE, newest).await.ok()?.ok() })?;
    let said = template(page.items.first()?, jiff::Timestamp::now().as_millisecond())?;
    Some(json!({ "Type": 0, "Template": said }).to_string())
}

fn template(newest: &DumpSummary, now_ms: i64) -> Option<String> {
    let age = now_ms.saturating_sub(newest.crashed_at_ms);
    (age <= RECENT_MS && newest.container.is_some()).then(|| {
        let id = newest.id.short();
        format!("A container crashed just now. To see why: docker dumps bt {id}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_well_needs_no_advice() {
        let check = |json: &str, expected| {
            let read = serde_json::from_str::<Finished>(json).map(|command| command.went_well());
            assert_eq!(read.ok(), expected, "{json}");
        };
        check(
            r#"{"RootCmd":"run","Flags":{},"CommandError":""}"#,
            Some(true),
        );
        check(r#"{"RootCmd":"container run"}"#, Some(true));
        check(
            r#"{"RootCmd":"run","CommandError":"exit status 139"}"#,
            Some(false),
        );
        check(r#"{"RootCmd":"ps","Flags":{"all":"true"}}"#, Some(false));
        check("no JSON", None);
    }
}
