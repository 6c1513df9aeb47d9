//! `prune`: says what would be given up and why, asks, and does it.

use super::human;
use super::ls::short;
use super::narrowing::Narrowing;
use super::session::{Failure, Session};
use super::table::{self, Cell};
use super::text::{visible, visible_json};
use crate::api::prune::Pruned;
use crate::client::encode;
use aground_store::retention::{Action, Step};
use std::io::{self, BufRead, Write};

/// Flags of `prune`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Say what would go and why, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
    /// Only drop the memory of what matches; record, report and log stay
    #[arg(long, conflicts_with_all = ["max_bytes", "min_free", "max_age", "memory_age", "per_group"])]
    memory: bool,
    /// Keep at most so much, such as 10GiB or 20% of the disk
    #[arg(long, value_name = "SIZE")]
    max_bytes: Option<String>,
    /// Leave at least so much free
    #[arg(long, value_name = "SIZE")]
    min_free: Option<String>,
    /// Delete dumps older than a duration, such as 30d
    #[arg(long, value_name = "DURATION")]
    max_age: Option<String>,
    /// Drop memory older than a duration
    #[arg(long, value_name = "DURATION")]
    memory_age: Option<String>,
    /// Dumps of each group that keep their memory as long as anything else can give
    #[arg(long, value_name = "N")]
    per_group: Option<u64>,
    /// Only dumps that match, such as image=api*, kept=full; without limits all of them go
    #[arg(long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// Only crashes since a time (2026-11-20T15:04) or duration back (24h)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only crashes before a time or duration back
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only what a saved search asks for (aground searches)
    #[arg(long, value_name = "NAME")]
    saved: Option<String>,
    /// Format output: table or json
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
    format: String,
    /// Only dumps that match: field:value terms and words
    #[arg(value_name = "QUERY")]
    words: Vec<String>,
}

/// Plans, asks unless forced, and carries out.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    let json = arguments.format == "json";
    let (dry_run, ask) = (arguments.dry_run, !arguments.force);
    let target = format!("/api/v1/prune?{}", parameters(arguments)?);
    if dry_run || ask {
        let plan: Pruned = session
            .client
            .post(&format!("{target}&dry_run=true"))
            .await?;
        if dry_run {
            return show(session, &plan, json);
        }
        if plan.plan.steps.is_empty() {
            return show(session, &plan, json);
        }
        if !agreed(session, &plan)? {
            return Ok(());
        }
    }
    let done: Pruned = session.client.post(&target).await?;
    show(session, &done, json)
}

fn parameters(arguments: Arguments) -> Result<String, Failure> {
    let given = [
        ("memory", arguments.memory.then(|| "true".to_owned())),
        ("max_bytes", arguments.max_bytes),
        ("min_free", arguments.min_free),
        ("max_age", arguments.max_age),
        ("memory_age", arguments.memory_age),
        (
            "per_group",
            arguments.per_group.map(|count| count.to_string()),
        ),
    ];
    let given = given
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    let mut parameters: Vec<String> = given
        .map(|(name, value)| format!("{name}={}", encode(&value)))
        .collect();
    let narrowing = Narrowing {
        saved: arguments.saved,
        filters: arguments.filters,
        since: arguments.since,
        until: arguments.until,
        words: arguments.words,
    };
    parameters.push(narrowing.parameters()?);
    Ok(parameters.join("&"))
}

/// As `docker system prune`: what will go, then a question on the terminal.
fn agreed(session: &mut Session, plan: &Pruned) -> Result<bool, Failure> {
    let count = |action| {
        plan.plan
            .steps
            .iter()
            .filter(|step| step.action == action)
            .count()
    };
    writeln!(session.out, "WARNING! This will:")?;
    for (action, what) in [
        (Action::Thin, "make the cores of so many dumps lean"),
        (Action::DropMemory, "drop the memory of so many dumps"),
        (Action::Delete, "delete so many dumps"),
    ] {
        if count(action) > 0 {
            writeln!(session.out, "  - {what}: {}", count(action))?;
        }
    }
    writeln!(
        session.out,
        "\nIt frees about {}; --dry-run lists it.",
        human::size(plan.frees)
    )?;
    write!(session.out, "Are you sure you want to continue? [y/N] ")?;
    session.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn show(session: &mut Session, pruned: &Pruned, json: bool) -> Result<(), Failure> {
    if json {
        let json = serde_json::to_string_pretty(pruned).map_err(io::Error::from)?;
        writeln!(session.out, "{}", visible_json(&json))?;
        return Ok(());
    }
    let steps = &pruned.plan.steps;
    if !steps.is_empty() {
        let header = ["DUMP ID", "ACTION", "FREES", "BECAUSE"];
        let mut rows = vec![header.map(Cell::from).to_vec()];
        rows.extend(steps.iter().map(row));
        table::write(&mut session.out, &rows, session.color)?;
        writeln!(session.out)?;
    }
    let total = human::size(pruned.frees);
    match (pruned.dry_run, steps.is_empty()) {
        (_, true) => writeln!(session.out, "Nothing to give up.")?,
        (true, false) => writeln!(session.out, "Would reclaim: {total}")?,
        (false, false) => writeln!(session.out, "Total reclaimed space: {total}")?,
    }
    if let Some(unmet) = &pruned.plan.unmet {
        writeln!(session.out, "A limit cannot be met: {}", visible(unmet))?;
    }
    Ok(())
}

fn row(step: &Step) -> Vec<Cell> {
    let action = match step.action {
        Action::Thin => "make lean",
        Action::DropMemory => "drop memory",
        Action::Delete => "delete",
    };
    vec![
        short(step.id.as_str()).to_owned().into(),
        action.into(),
        human::size(step.frees).into(),
        visible(&step.reason).into(),
    ]
}
