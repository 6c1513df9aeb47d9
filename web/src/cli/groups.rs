//! `groups`: lists crashes by cause, explains why crashes are in one group, and decides about them.

use super::decide;
use super::grouping;
use super::human;
use super::listing::{Field, Listing, Row, fetch};
use super::narrowing::Narrowing;
use super::regroup;
use super::seen;
use super::session::{Failure, Session};
use super::template::Format;
use aground_store::types::{Count, GroupSummary};

/// Flags of `groups`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: List,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List groups
    #[command(help_template = super::HELP, visible_alias = "list")]
    Ls(List),
    /// Show where and since when a group was seen, and what stands out in it
    #[command(help_template = super::HELP)]
    Seen(seen::Arguments),
    /// Show why the crashes of a group are one group
    #[command(help_template = super::HELP)]
    Explain(grouping::Explain),
    /// Show the stacks of two groups side by side, and how alike they are
    #[command(help_template = super::HELP)]
    Diff(grouping::Compare),
    /// Show what a file of rules would change, on crashes that are there
    #[command(help_template = super::HELP)]
    Try(grouping::Try),
    /// List pairs of groups that may be one bug, to be merged or told apart
    #[command(help_template = super::HELP)]
    Proposals(regroup::Proposals),
    #[command(flatten)]
    Decide(decide::Verb),
}

#[derive(clap::Args)]
struct List {
    #[command(flatten)]
    narrowing: Narrowing,
    /// Show n groups seen last
    #[arg(short = 'n', long = "last", value_name = "N")]
    last: Option<usize>,
    /// Only display group IDs
    #[arg(short, long)]
    quiet: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

const LISTING: Listing = Listing {
    fields: &[
        field("ID", "GROUP ID"),
        field("Count", "COUNT"),
        field("Trend", "LAST 24 HOURS"),
        field("FirstSeen", "FIRST SEEN"),
        field("LastSeen", "LAST SEEN"),
        field("Images", "IMAGES"),
        field("Containers", "CONTAINERS"),
        field("Hosts", "HOSTS"),
        field("Executables", "EXECUTABLES"),
        field("Signal", "SIGNAL"),
        field("Kind", "KIND"),
        field("Cause", "WHAT HAPPENED"),
        field("Title", "SIGNATURE"),
        field("Latest", "LATEST DUMP"),
        field("State", "STATE"),
        field("Owner", "OWNER"),
        field("Tags", "TAGS"),
        field("Tickets", "TICKETS"),
    ],
    columns: &[
        "ID",
        "State",
        "Count",
        "Trend",
        "FirstSeen",
        "LastSeen",
        "Images",
        "Cause",
        "Title",
    ],
};

const fn field(name: &'static str, header: &'static str) -> Field {
    Field { name, header }
}

/// Lists or explains groups.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    match arguments.action {
        None => list(arguments.list, session).await,
        Some(Action::Ls(arguments)) => list(arguments, session).await,
        Some(Action::Seen(arguments)) => seen::run(&arguments, session).await,
        Some(Action::Explain(arguments)) => grouping::explain(&arguments, session).await,
        Some(Action::Diff(arguments)) => grouping::compare(&arguments, session).await,
        Some(Action::Try(arguments)) => grouping::try_rules(&arguments, session).await,
        Some(Action::Proposals(arguments)) => regroup::proposals(&arguments, session).await,
        Some(Action::Decide(verb)) => decide::run(verb, session).await,
    }
}

async fn list(arguments: List, session: &mut Session) -> Result<(), Failure> {
    let parameters = arguments.narrowing.parameters()?;
    let groups: Vec<GroupSummary> = fetch(session, "/api/v1/groups", &parameters, arguments.last)
        .await
        .map_err(|error| arguments.narrowing.explain(error))?;
    let now = session.now_ms;
    let rows: Vec<Row> = groups
        .into_iter()
        .map(|group| row(group, now, !arguments.no_trunc))
        .collect();
    LISTING.print(
        session,
        &rows,
        &Format::parse(arguments.format.as_deref()),
        arguments.quiet,
    )
}

fn row(group: GroupSummary, now_ms: i64, truncate: bool) -> Row {
    let latest = if truncate {
        group.latest.short()
    } else {
        group.latest.as_str()
    };
    let values = vec![
        if truncate {
            super::ls::short(&group.id).to_owned()
        } else {
            group.id
        },
        group.count.to_string(),
        sparkline(&group.histogram),
        human::ago(group.first_seen_ms, now_ms),
        human::ago(group.last_seen_ms, now_ms),
        names(&group.images, truncate),
        names(&group.containers, truncate),
        names(&group.hosts, truncate),
        names(&group.executables, truncate),
        group.signal,
        group.cause,
        group.cause_title,
        group.title,
        latest.to_owned(),
        group.state.as_str().to_owned(),
        group.owner.unwrap_or_default(),
        group.tags.join(","),
        group.tickets.join(","),
    ];
    Row {
        values,
        ..Row::default()
    }
}

/// The most frequent value and how many others there are, or all of them.
fn names(counts: &[Count], truncate: bool) -> String {
    match counts {
        [] => String::new(),
        [first, _, ..] if truncate => format!("{} +{}", first.value, counts.len() - 1),
        _ => counts
            .iter()
            .map(|count| count.value.as_str())
            .collect::<Vec<_>>()
            .join(","),
    }
}

/// Crashes per bucket as bars; a dot where there were none.
pub fn sparkline(buckets: &[u64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let highest = buckets.iter().copied().max().unwrap_or(0);
    let bar = |&count: &u64| {
        if count == 0 {
            return '·';
        }
        let step = u128::from(count) * 7 / u128::from(highest.max(1));
        BARS.get(usize::try_from(step).unwrap_or(7))
            .copied()
            .unwrap_or('█')
    };
    buckets.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trends_show_absence_and_the_highest() {
        assert_eq!(sparkline(&[0, 1, 4, 8]), "·▁▄█");
        assert_eq!(sparkline(&[u64::MAX]), "█");
        assert_eq!(sparkline(&[]), "");
    }
}
