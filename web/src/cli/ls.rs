//! `ls`: lists dumps, newest first.

use super::listing::{Field, Listing, Row, fetch};
use super::narrowing::Narrowing;
use super::session::{Failure, Session};
use super::template::Format;
use super::{human, text};
use aground_store::types::{DumpStatus, DumpSummary};

/// Flags of `ls`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    narrowing: Narrowing,
    /// Show n newest dumps
    #[arg(short = 'n', long = "last", value_name = "N")]
    last: Option<usize>,
    /// Show the newest dump
    #[arg(short, long, conflicts_with = "last")]
    latest: bool,
    /// Only display dump IDs
    #[arg(short, long)]
    quiet: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

/// The list's fields and columns.
pub const LISTING: Listing = Listing {
    fields: &[
        field("ID", "DUMP ID"),
        field("Container", "CONTAINER"),
        field("Image", "IMAGE"),
        field("Command", "COMMAND"),
        field("Signal", "SIGNAL"),
        field("CreatedAt", "CREATED AT"),
        field("RunningFor", "CREATED"),
        field("Size", "SIZE"),
        field("Status", "STATUS"),
        field("Cause", "WHAT HAPPENED"),
        field("Where", "WHERE"),
        field("Group", "GROUP ID"),
        field("Host", "HOST"),
        field("Labels", "LABELS"),
    ],
    columns: &[
        "ID",
        "Container",
        "Image",
        "Command",
        "Signal",
        "RunningFor",
        "Size",
        "Status",
        "Cause",
    ],
};

const fn field(name: &'static str, header: &'static str) -> Field {
    Field { name, header }
}

/// Lists dumps.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    let limit = if arguments.latest {
        Some(1)
    } else {
        arguments.last
    };
    let parameters = arguments.narrowing.parameters()?;
    let dumps: Vec<DumpSummary> = fetch(session, "/api/v1/dumps", &parameters, limit)
        .await
        .map_err(|error| arguments.narrowing.explain(error))?;
    let now = session.now_ms;
    let rows: Vec<Row> = dumps
        .into_iter()
        .map(|dump| row(dump, now, !arguments.no_trunc))
        .collect();
    LISTING.print(
        session,
        &rows,
        &Format::parse(arguments.format.as_deref()),
        arguments.quiet,
    )
}

/// One dump as a row.
pub fn row(dump: DumpSummary, now_ms: i64, truncate: bool) -> Row {
    let style = match dump.status {
        DumpStatus::Failed => Some(("Status", "31")),
        DumpStatus::Pending | DumpStatus::Analyzing => Some(("Status", "33")),
        DumpStatus::Analyzed => None,
    };
    let command = command(&dump, truncate);
    let status = status(&dump);
    let cause = cause(&dump);
    let (container, image, labels) = match dump.container {
        Some(container) => {
            let id = if truncate {
                short(&container.id).to_owned()
            } else {
                container.id
            };
            let image = container.image.or(container.image_id).unwrap_or_default();
            (container.name.unwrap_or(id), image, container.labels)
        }
        None => Default::default(),
    };
    let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
    let values = vec![
        if truncate {
            dump.id.short().to_owned()
        } else {
            dump.id.to_string()
        },
        container,
        image,
        command,
        dump.signal,
        human::local_time(dump.crashed_at_ms),
        human::ago(dump.crashed_at_ms, now_ms),
        human::size(dump.core_bytes),
        status,
        cause,
        dump.location.unwrap_or_default(),
        dump.group.unwrap_or_default(),
        dump.host,
        pairs.collect::<Vec<_>>().join(","),
    ];
    Row {
        values,
        labels,
        style,
    }
}

/// The first 12 characters, as Docker shows ids.
pub fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Quoted as Docker does; a process without a command line by its name in brackets, as ps does.
fn command(dump: &DumpSummary, truncate: bool) -> String {
    let command = match (dump.command.as_str(), dump.name.as_str()) {
        ("", "") => return String::new(),
        ("", name) => format!("[{name}]"),
        (command, _) => command.to_owned(),
    };
    text::quoted(&if truncate {
        text::ellipsis(&command, 20)
    } else {
        command
    })
}

fn status(dump: &DumpSummary) -> String {
    let missing = match dump.kept.as_str() {
        "none" if dump.dropped.is_some() => ", memory dropped",
        "none" => ", no memory",
        _ if dump.truncated => ", truncated",
        "partial" => ", partial",
        "lean" => ", lean",
        _ => "",
    };
    let pinned = if dump.pinned { ", pinned" } else { "" };
    format!("{}{missing}{pinned}", dump.status.as_str())
}

/// The cause; before there is one, why not.
fn cause(dump: &DumpSummary) -> String {
    match (&dump.title, &dump.analysis_error) {
        (Some(title), _) => title.clone(),
        (None, Some(error)) => format!("analysis failed: {error}"),
        (None, None) => String::new(),
    }
}
