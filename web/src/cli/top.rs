//! `top`: what came back, what is new, and what crashes most.

use super::groups::sparkline;
use super::human;
use super::session::{Failure, Session};
use super::table::{self, Cell};
use super::text::{ellipsis, visible, visible_json};
use aground_store::overview::Overview;
use aground_store::types::GroupSummary;
use std::collections::BTreeSet;
use std::io::Write;

/// Flags of `top`.
#[derive(clap::Args)]
pub struct Arguments {
    /// How far back
    #[arg(long, value_name = "WINDOW", default_value = "24h", value_parser = ["24h", "7d", "30d"])]
    window: String,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Format output: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// Shows it.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let target = format!("/api/v1/overview?window={}", arguments.window);
    let overview: Overview = session.client.get(&target).await?;
    if arguments.format == "json" {
        let json = serde_json::to_string_pretty(&overview).map_err(std::io::Error::from)?;
        writeln!(session.out, "{}", visible_json(&json))?;
        return Ok(());
    }
    writeln!(
        session.out,
        "{} crashes of {} groups in the last {} ({} before that): {} new, {} came back",
        overview.crashes,
        overview.active,
        arguments.window,
        overview.before,
        overview.new,
        overview.regressed
    )?;
    let mut header = ["GROUP ID", "WHY", "CRASHES"].map(Cell::from).to_vec();
    header.push(format!("LAST {}", arguments.window.to_uppercase()).into());
    header.extend(["LAST SEEN", "WHERE", "WHAT HAPPENED"].map(Cell::from));
    let mut rows = vec![header];
    let mut shown = BTreeSet::new();
    let lists = [
        ("came back", &overview.regressed_groups),
        ("new", &overview.new_groups),
        ("most", &overview.busiest),
    ];
    for (why, groups) in lists {
        for group in groups {
            if shown.insert(group.id.clone()) {
                rows.push(row(group, why, session.now_ms, !arguments.no_trunc));
            }
        }
    }
    if rows.len() > 1 {
        writeln!(session.out)?;
        table::write(&mut session.out, &rows, session.color)?;
    }
    Ok(())
}

fn row(group: &GroupSummary, why: &'static str, now_ms: i64, truncate: bool) -> Vec<Cell> {
    let crashes: u64 = group.histogram.iter().sum();
    let place = group.images.first().or(group.executables.first());
    let place = visible(place.map_or("-", |count| count.value.as_str()));
    let cause = visible(&group.cause_title);
    let short = |text: String, columns| {
        if truncate {
            ellipsis(&text, columns)
        } else {
            text
        }
    };
    let why = match why {
        "came back" => Cell::styled(why.to_owned(), "31"),
        other => other.into(),
    };
    vec![
        group.id.clone().into(),
        why,
        crashes.to_string().into(),
        sparkline(&group.histogram).into(),
        human::ago(group.last_seen_ms, now_ms).into(),
        short(place, 40).into(),
        short(cause, 70).into(),
    ]
}
