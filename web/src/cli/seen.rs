//! `groups seen`: one group, where and since when it was seen, and what stands out in it.

use super::session::{Failure, Session};
use super::table::{self, Cell};
use super::text::{ellipsis, visible, visible_json};
use super::{hosts, human, report};
use crate::client::encode;
use aground_store::history::{History, MoreOften};
use aground_store::types::GroupSummary;
use std::io::Write;

/// Flags of `groups seen`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Group ID or the beginning of one
    #[arg(value_name = "GROUP")]
    group: String,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Format output: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// Shows it.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let path = format!("/api/v1/groups/{}", encode(&arguments.group));
    let group: GroupSummary = session.client.get(&path).await?;
    let history: History = session.client.get(&format!("{path}/seen")).await?;
    if arguments.format == "json" {
        let all = serde_json::json!({ "group": group, "history": history });
        let json = serde_json::to_string_pretty(&all).map_err(std::io::Error::from)?;
        writeln!(session.out, "{}", visible_json(&json))?;
        return Ok(());
    }
    head(session, &group)?;
    let longest = if arguments.no_trunc { usize::MAX } else { 70 };
    seen(session, &history, longest)?;
    more_often(session, &history.more_often, longest)
}

fn head(session: &mut Session, group: &GroupSummary) -> Result<(), Failure> {
    let now = session.now_ms;
    for (name, value) in [
        ("Group", visible(&group.id)),
        ("Cause", visible(&group.cause_title)),
        ("Signature", visible(&group.title)),
        ("State", group.state.as_str().to_owned()),
        ("Crashes", group.count.to_string()),
        ("First seen", human::ago(group.first_seen_ms, now)),
        ("Last seen", human::ago(group.last_seen_ms, now)),
        ("Last day", super::groups::sparkline(&group.histogram)),
        ("Newest", group.latest.to_string()),
    ] {
        writeln!(session.out, "{name:<11}{value}")?;
    }
    Ok(())
}

fn seen(session: &mut Session, history: &History, longest: usize) -> Result<(), Failure> {
    let now = session.now_ms;
    for (facet, seen) in &history.seen {
        let header = [
            facet.to_uppercase().replace('_', " ").as_str(),
            "CRASHES",
            "FIRST SEEN",
            "LAST SEEN",
        ]
        .map(Cell::from);
        let mut rows = vec![header.to_vec()];
        for value in seen.values.iter().take(10) {
            rows.push(vec![
                ellipsis(&visible(&value.value), longest).into(),
                value.crashes.to_string().into(),
                human::ago(value.first_seen_ms, now).into(),
                human::ago(value.last_seen_ms, now).into(),
            ]);
        }
        writeln!(session.out)?;
        table::write(&mut session.out, &rows, false)?;
        let shown = u64::try_from(seen.values.len().saturating_sub(10)).unwrap_or(0);
        if seen.more + shown > 0 {
            writeln!(session.out, "and {} more", seen.more + shown)?;
        }
    }
    Ok(())
}

fn more_often(session: &mut Session, found: &MoreOften, longest: usize) -> Result<(), Failure> {
    writeln!(session.out)?;
    if let Some(why) = &found.too_little {
        writeln!(session.out, "{}", visible(why))?;
        return Ok(());
    }
    if found.findings.is_empty() {
        writeln!(
            session.out,
            "Nothing stands out among {} values compared with {} other crashes.",
            found.compared, found.of_elsewhere
        )?;
        return Ok(());
    }
    let header = ["MORE OFTEN HERE", "VALUE", "HERE", "ELSEWHERE", "BY CHANCE"].map(Cell::from);
    let mut rows = vec![header.to_vec()];
    for finding in &found.findings {
        rows.push(vec![
            visible(&finding.facet).into(),
            ellipsis(&visible(&finding.value), longest).into(),
            of(finding.here, finding.of_here).into(),
            of(finding.elsewhere, finding.of_elsewhere).into(),
            hosts::chance(finding.p).into(),
        ]);
    }
    table::write(&mut session.out, &rows, false)?;
    writeln!(
        session.out,
        "Fisher's exact test, times {} values compared; crashes of one loop are not independent of each other.",
        found.compared
    )?;
    Ok(())
}

fn of(part: u64, whole: u64) -> String {
    format!("{part} of {whole} ({})", report::share(part, whole))
}
