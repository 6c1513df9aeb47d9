//! `regroup` and `groups proposals`: groups by other rules, and groups that may be one.

use super::human;
use super::listing::fetch;
use super::session::{Failure, Session};
use super::table::{self, Cell};
use super::text::{visible, visible_json};
use aground_daemon::RegroupStatus;
use aground_store::proposals::{Proposal, Proposed};
use std::io::Write;

/// Flags of `regroup`.
#[derive(clap::Args)]
pub struct Arguments {}

/// Flags of `proposals`.
#[derive(clap::Args)]
pub(super) struct Proposals {
    /// Show n pairs, the most alike
    #[arg(short = 'n', long = "last", value_name = "N", default_value_t = 100)]
    last: usize,
    /// Format output: table or json
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

/// Has it begin.
pub async fn run(_: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let status: RegroupStatus = session.client.post("/api/v1/regroup").await?;
    let line = match status.all {
        0 => "every crash is grouped by the rules in force".to_owned(),
        all => format!(
            "{all} {} in the background (see {} status)",
            if all == 1 {
                "crash is grouped anew"
            } else {
                "crashes are grouped anew"
            },
            session.program
        ),
    };
    writeln!(session.out, "{line}")?;
    Ok(())
}

/// Lists pairs, and how to decide about them.
pub(super) async fn proposals(arguments: &Proposals, session: &mut Session) -> Result<(), Failure> {
    let path = "/api/v1/groups/proposals";
    let found: Vec<Proposal> = fetch(session, path, "", Some(arguments.last)).await?;
    if arguments.format == "json" {
        let json = serde_json::to_string_pretty(&found).map_err(std::io::Error::from)?;
        writeln!(session.out, "{}", visible_json(&json))?;
        return Ok(());
    }
    let header = [
        "ALIKE",
        "GROUP",
        "CRASHES",
        "SIGNATURE",
        "BOTH HAVE",
        "FOUND",
    ];
    let mut rows: Vec<Vec<Cell>> = vec![header.map(Cell::from).into()];
    for proposal in &found {
        let found = human::ago(proposal.found_at_ms, session.now_ms);
        rows.push(row(
            &format!("{:.2}", proposal.likeness),
            &proposal.one,
            &visible(&proposal.shared),
            &found,
        ));
        rows.push(row("", &proposal.other, "", ""));
    }
    table::write(&mut session.out, &rows, false)?;
    if !found.is_empty() {
        let program = session.program;
        writeln!(
            session.out,
            "\nLook with '{program} groups diff A B'; then '{program} groups merge A --into B' or '{program} groups distinct A B'."
        )?;
    }
    Ok(())
}

fn row(alike: &str, side: &Proposed, shared: &str, found: &str) -> Vec<Cell> {
    let id = side.group.get(..12).unwrap_or(&side.group);
    vec![
        alike.into(),
        visible(id).into(),
        side.crashes.to_string().into(),
        visible(&side.title).into(),
        shared.into(),
        found.into(),
    ]
}
