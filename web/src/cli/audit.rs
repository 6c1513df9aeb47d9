//! `audit`: who took cores, modules and logs, and who removed what.

use super::human;
use super::listing::{Field, Listing, Row, fetch};
use super::session::{Failure, Session};
use super::template::Format;
use aground_store::access::Audited;

/// Show who took cores, modules and logs, newest first
#[derive(clap::Args)]
pub struct Arguments {
    /// How many entries
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = 100)]
    limit: usize,
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

const fn field(name: &'static str, header: &'static str) -> Field {
    Field { name, header }
}

const LISTING: Listing = Listing {
    fields: &[
        field("At", "AT"),
        field("Who", "WHO"),
        field("From", "FROM"),
        field("What", "WHAT"),
        field("Dump", "DUMP"),
        field("Request", "REQUEST"),
        field("Status", "STATUS"),
        field("AtMs", "AT MS"),
    ],
    columns: &["At", "Who", "From", "What", "Dump", "Request"],
};

/// Shows what was written down.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let entries: Vec<Audited> = fetch(session, "/api/v1/audit", "", Some(arguments.limit)).await?;
    let now = session.now_ms;
    let row = |entry: Audited| Row {
        values: vec![
            human::ago(entry.at_ms, now),
            entry.who,
            entry.from,
            entry.what,
            entry.dump.unwrap_or_default(),
            entry.request,
            entry.status.to_string(),
            entry.at_ms.to_string(),
        ],
        ..Row::default()
    };
    let rows: Vec<Row> = entries.into_iter().map(row).collect();
    let format = Format::parse(arguments.format.as_deref());
    LISTING.print(session, &rows, &format, false)
}
