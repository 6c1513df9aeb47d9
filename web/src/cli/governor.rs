//! `governor`: shows which crash loops keep less memory, and lets them keep it again.

use super::human;
use super::listing::{Field, Listing, Row, fetch};
use super::session::{Failure, Session};
use super::template::Format;
use crate::api::governor::Forgotten;
use crate::client::encode;
use aground_daemon::Governed;
use aground_helper::record::Policy;
use std::io::Write;

/// Flags of `governor`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: List,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List what crashes and what its next crash would keep
    #[command(help_template = super::HELP, visible_alias = "list")]
    Ls(List),
    /// Forget crashes, so that the next ones are kept whole again
    #[command(help_template = super::HELP)]
    Reset(Reset),
}

#[derive(clap::Args)]
struct List {
    /// Also what counts all images of a workload, or all executables, together
    #[arg(short, long)]
    all: bool,
    /// Only what is limited now
    #[arg(long)]
    limited: bool,
    /// Only display keys
    #[arg(short, long)]
    quiet: bool,
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

#[derive(clap::Args)]
struct Reset {
    /// Keys as `governor ls` shows them
    #[arg(value_name = "KEY", required_unless_present = "all")]
    keys: Vec<String>,
    /// Forget everything
    #[arg(long, conflicts_with = "keys")]
    all: bool,
}

const LISTING: Listing = Listing {
    fields: &[
        field("Key", "KEY"),
        field("State", "NEXT CRASH KEEPS"),
        field("LastHour", "LAST HOUR"),
        field("Crashes", "CRASHES"),
        field("LastCrash", "LAST CRASH"),
        field("NextFull", "WHOLE AGAIN"),
        field("Workload", "WORKLOAD"),
        field("Image", "IMAGE"),
        field("Executable", "EXECUTABLE"),
    ],
    columns: &[
        "Key",
        "State",
        "LastHour",
        "Crashes",
        "LastCrash",
        "NextFull",
        "Workload",
        "Image",
        "Executable",
    ],
};

const fn field(name: &'static str, header: &'static str) -> Field {
    Field { name, header }
}

/// Lists or resets.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    match arguments.action {
        None => list(arguments.list, session).await,
        Some(Action::Ls(arguments)) => list(arguments, session).await,
        Some(Action::Reset(arguments)) => reset(arguments, session).await,
    }
}

async fn list(arguments: List, session: &mut Session) -> Result<(), Failure> {
    let mut governed: Vec<Governed> = fetch(session, "/api/v1/governor", "", None).await?;
    let shown = |one: &Governed| {
        let together = one.workload.is_empty() || one.executable.is_empty();
        one.state != Policy::Full || (!arguments.limited && (arguments.all || !together))
    };
    governed.retain(shown);
    let now = session.now_ms;
    let rows: Vec<Row> = governed.into_iter().map(|one| row(one, now)).collect();
    let format = Format::parse(arguments.format.as_deref());
    LISTING.print(session, &rows, &format, arguments.quiet)
}

fn row(governed: Governed, now_ms: i64) -> Row {
    let state = match governed.state {
        Policy::Full => "full",
        Policy::Lean | Policy::Trace => "lean",
        Policy::Record => "record",
    };
    let until = |at: i64| {
        format!(
            "in {}",
            human::duration(at.saturating_sub(now_ms)).to_lowercase()
        )
    };
    let any = |text: String| {
        if text.is_empty() {
            "any".to_owned()
        } else {
            text
        }
    };
    Row {
        values: vec![
            governed.key,
            state.to_owned(),
            governed.last_hour.to_string(),
            governed.crashes.to_string(),
            human::ago(governed.last_ms, now_ms),
            governed.next_full_ms.map_or(String::new(), until),
            any(governed.workload),
            governed.image,
            any(governed.executable),
        ],
        style: (state != "full").then_some(("State", "33")),
        ..Row::default()
    }
}

async fn reset(arguments: Reset, session: &mut Session) -> Result<(), Failure> {
    if arguments.all {
        let done: Forgotten = session.client.delete("/api/v1/governor").await?;
        writeln!(session.out, "Forgotten: {}", done.forgotten)?;
        return Ok(());
    }
    for key in arguments.keys {
        let target = format!("/api/v1/governor/{}", encode(&key));
        let _: Forgotten = session.client.delete(&target).await?;
        writeln!(session.out, "{}", super::text::visible(&key))?;
    }
    Ok(())
}
