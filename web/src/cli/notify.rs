//! `notify`: shows who is told of what changes, and sends test messages.

use super::human;
use super::session::{Failure, Session};
use super::table::{self, Cell};
use super::text::{visible, visible_json};
use crate::client::encode;
use aground_daemon::{TargetStatus, TestResult};
use std::io::Write;

/// Arguments of `notify`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List the targets of notifications and how it goes with them
    #[command(help_template = super::HELP, visible_alias = "list")]
    Ls {
        /// Format output: table or json
        #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
        format: String,
    },
    /// Send a test message to a target, and say what came of it
    #[command(help_template = super::HELP)]
    Test {
        /// Its name in the configuration
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Does it.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    match arguments.action {
        Action::Ls { format } => list(&format, session).await,
        Action::Test { name } => test(&name, session).await,
    }
}

async fn list(format: &str, session: &mut Session) -> Result<(), Failure> {
    let targets: Vec<TargetStatus> = session.client.get("/api/v1/notify").await?;
    if format == "json" {
        let json = serde_json::to_string_pretty(&targets).map_err(std::io::Error::from)?;
        writeln!(session.out, "{}", visible_json(&json))?;
        return Ok(());
    }
    let header = [
        "NAME",
        "KIND",
        "PLACE",
        "WAITING",
        "DELIVERED",
        "GIVEN UP",
        "LAST",
        "OUTCOME",
    ];
    let mut rows: Vec<Vec<Cell>> = vec![header.map(Cell::from).to_vec()];
    for target in targets {
        let tally = &target.tally;
        let last = tally.last_at_ms.map(|at| human::ago(at, session.now_ms));
        rows.push(vec![
            visible(&target.name).into(),
            target.kind.into(),
            visible(&target.place).into(),
            tally.waiting.to_string().into(),
            tally.delivered.to_string().into(),
            tally.failed.to_string().into(),
            last.unwrap_or_else(|| "never".to_owned()).into(),
            visible(tally.last_outcome.as_deref().unwrap_or_default()).into(),
        ]);
    }
    table::write(&mut session.out, &rows, false)?;
    Ok(())
}

async fn test(name: &str, session: &mut Session) -> Result<(), Failure> {
    let target = format!("/api/v1/notify/{}/test", encode(name));
    let result: TestResult = session.client.post(&target).await?;
    if result.delivered {
        writeln!(session.out, "delivered: {}", visible(&result.outcome))?;
        return Ok(());
    }
    session.complain(&format!("not delivered: {}", visible(&result.outcome)));
    Err(Failure::Told)
}
