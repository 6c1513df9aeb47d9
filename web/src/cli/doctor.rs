//! `doctor`: examines whether crashes are caught, and says what to do where they are not.

use super::session::{Failure, Session};
use super::text::{visible, visible_json};
use crate::api::doctor::Examination;
use aground_daemon::doctor::{self, Check, Facts, Health};
use aground_daemon::{Config, DaemonStatus};
use std::io::{self, Write};
use std::path::PathBuf;

/// Examine whether crashes of this machine are caught
#[derive(clap::Args)]
pub struct Arguments {
    /// State directory [default: the configuration's]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Format output: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// Examines this machine, or asks the daemon of another one. Fails when something does not work.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let checks = if session.client.is_local() {
        here(arguments, session).await?
    } else {
        let there: Examination = session.client.get("/api/v1/doctor").await?;
        there.checks
    };
    if arguments.format == "json" {
        let json = serde_json::to_string_pretty(&Examination {
            checks: checks.clone(),
        });
        writeln!(
            session.out,
            "{}",
            visible_json(&json.map_err(io::Error::from)?)
        )?;
    } else {
        for check in &checks {
            show(check, session)?;
        }
    }
    match doctor::worst(&checks) {
        Health::Fail => Err(Failure::Told),
        Health::Ok | Health::Warn => Ok(()),
    }
}

async fn here(arguments: &Arguments, session: &Session) -> Result<Vec<Check>, Failure> {
    let status = session.client.get::<DaemonStatus>("/api/v1/status").await;
    let config = Config::load(None).map_err(|error| Failure::Other(error.into()))?;
    let state_dir = arguments.state_dir.clone().unwrap_or(config.state_dir);
    let min_free = status
        .as_ref()
        .map_or(0, |status| status.retention.limits.min_free);
    let mut facts = Facts::gather(&state_dir, min_free);
    if let Ok(status) = &status {
        facts.symbol_servers.clone_from(&status.symbols.debuginfod);
    }
    facts.daemon = Some(
        status
            .map(|status| status.version)
            .map_err(|error| error.to_string()),
    );
    Ok(doctor::examine(&facts))
}

fn show(check: &Check, session: &mut Session) -> io::Result<()> {
    let (word, style) = match check.health {
        Health::Ok => ("ok  ", "32"),
        Health::Warn => ("warn", "33"),
        Health::Fail => ("FAIL", "31"),
    };
    let finding = visible(&check.finding);
    if session.color {
        write!(session.out, "\x1b[{style}m{word}\x1b[0m")?;
    } else {
        write!(session.out, "{word}")?;
    }
    writeln!(session.out, "  {:<16} {finding}", visible(&check.name))?;
    if let Some(advice) = &check.advice {
        writeln!(session.out, "{:24}→ {}", "", visible(advice))?;
    }
    Ok(())
}
