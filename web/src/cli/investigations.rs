//! `investigations` and `settings`: short lists of what the daemon knows.

use super::human;
use super::listing::{Field, Listing, Row, fetch};
use super::session::{Failure, Session};
use super::template::Format;
use super::text::ellipsis;
use crate::api::overview::All;
use aground_daemon::Setting;
use aground_store::investigations::Investigation;

/// Flags of both.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only display the first column
    #[arg(short, long)]
    quiet: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

const THEORIES: Listing = Listing {
    fields: &[
        field("Theory", "THEORY"),
        field("Group", "GROUP ID"),
        field("State", "STATE"),
        field("Verdict", "VERDICT"),
        field("Evidence", "EVIDENCE"),
        field("By", "BY"),
        field("When", "WHEN"),
        field("Text", "WHAT THE CAUSE MAY BE"),
        field("Cause", "WHAT HAPPENED"),
        field("Why", "WHY"),
        field("Owner", "OWNER"),
    ],
    columns: &[
        "Theory", "Group", "Verdict", "Evidence", "By", "When", "Text", "Cause",
    ],
};

const SETTINGS: Listing = Listing {
    fields: &[
        field("Key", "KEY"),
        field("Value", "VALUE"),
        field("Usual", "USUAL"),
    ],
    columns: &["Key", "Value", "Usual"],
};

const fn field(name: &'static str, header: &'static str) -> Field {
    Field { name, header }
}

/// Lists theories of all groups, newest first.
pub async fn theories(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    let all: Vec<Investigation> = fetch(session, "/api/v1/investigations", "", None).await?;
    let now = session.now_ms;
    let short = |text: String| {
        if arguments.no_trunc {
            text
        } else {
            ellipsis(&text, 60)
        }
    };
    let row = |one: Investigation| {
        let theory = one.theory;
        let verdict = theory.verdict.as_str();
        Row {
            values: vec![
                theory.id.to_string(),
                one.group,
                one.state.as_str().to_owned(),
                verdict.to_owned(),
                theory.evidence.len().to_string(),
                theory.by.to_string(),
                human::ago(theory.at_ms, now),
                short(theory.text),
                short(one.title),
                theory.why.unwrap_or_default(),
                one.owner.unwrap_or_default(),
            ],
            style: (verdict == "proven").then_some(("Verdict", "32")),
            ..Row::default()
        }
    };
    let rows: Vec<Row> = all.into_iter().map(row).collect();
    let format = Format::parse(arguments.format.as_deref());
    THEORIES.print(session, &rows, &format, arguments.quiet)
}

/// Lists the configuration in force.
pub async fn settings(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    let all: All<Setting> = session.client.get("/api/v1/settings").await?;
    let row = |setting: Setting| Row {
        values: vec![
            setting.key,
            setting.value,
            if setting.usual { "yes" } else { "no" }.to_owned(),
        ],
        ..Row::default()
    };
    let rows: Vec<Row> = all.items.into_iter().map(row).collect();
    let format = Format::parse(arguments.format.as_deref());
    SETTINGS.print(session, &rows, &format, arguments.quiet)
}
