//! `bt`: why a process died and where; the cause on top.

use super::human;
use super::session::{Failure, Session};
use super::text::{visible, visible_lines};
use crate::client::encode;
use crate::ui::view::modules;
use aground_analyzer::report::Report;
use aground_analyzer::text::{TextOptions, render};
use aground_helper::record::Access;
use aground_store::types::{Dump, DumpStatus};
use std::io::{self, Write};

/// Flags of `bt`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Dump ID or the beginning of one
    #[arg(value_name = "DUMP")]
    dump: String,
    #[command(flatten)]
    depth: Depth,
}

/// How much of a report is written as text.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Depth {
    /// Show all threads, not only the crashed one
    #[arg(short, long)]
    pub all_threads: bool,
    /// Show the registers of the threads shown
    #[arg(short, long)]
    pub registers: bool,
    /// Show the modules that were mapped
    #[arg(short, long)]
    pub modules: bool,
    /// Show the arguments and local variables of each frame
    #[arg(short, long)]
    pub full: bool,
}

impl From<Depth> for TextOptions {
    fn from(depth: Depth) -> Self {
        TextOptions {
            all_threads: depth.all_threads,
            registers: depth.registers,
            modules: depth.modules,
            variables: depth.full,
        }
    }
}

/// Prints the cause, whose crash it was, then the stack.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let dump: Dump = session
        .client
        .get(&format!("/api/v1/dumps/{}", encode(&arguments.dump)))
        .await?;
    show(&dump, arguments.depth, session)
}

/// Prints it, or why there is no backtrace.
pub(super) fn show(dump: &Dump, depth: Depth, session: &mut Session) -> Result<(), Failure> {
    let facts = facts(dump, session.now_ms);
    let Some(report) = &dump.report else {
        write_facts(&mut session.out, &facts)?;
        return Err(Failure::Message(no_report(dump)));
    };
    Ok(write_report(session, report, &facts, depth)?)
}

/// Everything that `bt` can print of a dump, without colours.
pub fn plain(dump: &Dump, now_ms: i64) -> String {
    let all = TextOptions {
        all_threads: true,
        registers: true,
        modules: true,
        variables: true,
    };
    let text = match &dump.report {
        Some(report) => visible_lines(&render(report, all)),
        None => format!("{}\n", visible(&no_report(dump))),
    };
    let (title, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let mut plain = format!("{title}\n");
    for (name, value) in facts(dump, now_ms) {
        // Writing to a String cannot fail.
        let _ = std::fmt::Write::write_fmt(
            &mut plain,
            format_args!("  {name:<12} {}\n", visible(&value)),
        );
    }
    plain.push_str(rest);
    plain
}

/// Writes a report as text; `facts` go below its first line, which is the cause.
pub fn write_report(
    session: &mut Session,
    report: &Report,
    facts: &[(&str, String)],
    depth: Depth,
) -> io::Result<()> {
    let text = visible_lines(&render(report, depth.into()));
    let (title, rest) = text.split_once('\n').unwrap_or((&text, ""));
    if session.color {
        writeln!(session.out, "\x1b[1;31m{title}\x1b[0m")?;
    } else {
        writeln!(session.out, "{title}")?;
    }
    write_facts(&mut session.out, facts)?;
    session.out.write_all(rest.as_bytes())
}

fn write_facts(out: &mut dyn Write, facts: &[(&str, String)]) -> io::Result<()> {
    for (name, value) in facts {
        writeln!(out, "  {name:<12} {}", visible(value))?;
    }
    Ok(())
}

fn facts(dump: &Dump, now_ms: i64) -> Vec<(&'static str, String)> {
    let summary = &dump.summary;
    let died = human::ago(summary.crashed_at_ms, now_ms);
    let mut facts = vec![("dump", summary.id.to_string())];
    if let Some(group) = &summary.group {
        facts.push(("group", group.clone()));
    }
    match (&summary.container, &summary.unit) {
        (Some(container), _) => {
            let name = container.name.as_deref().unwrap_or("name unknown");
            facts.push((
                "container",
                format!("{name} ({})", super::ls::short(&container.id)),
            ));
            let image = container.image.as_ref().or(container.image_id.as_ref());
            facts.push(("image", image.map_or("unknown", String::as_str).to_owned()));
        }
        (None, Some(unit)) => facts.push(("unit", unit.clone())),
        (None, None) => facts.push(("container", "none: a process of the host".to_owned())),
    }
    if dump.record.capture.access == Access::Root {
        facts.push(("memory", "for root alone: not analyzed".to_owned()));
    }
    facts.push(("died", format!("{died} on {}", summary.host)));
    if let Some(given_up) = summary.given_up() {
        facts.push(("memory", given_up));
    }
    if let Some(revision) = dump.report.as_ref().and_then(modules::revision) {
        facts.push(("report", revision));
    }
    if let Some(error) = &summary.analysis_error {
        let partial = dump.report.as_ref().is_some_and(|it| it.partial.is_some());
        let what = match summary.status {
            DumpStatus::Failed if partial => "stopped before its end",
            DumpStatus::Failed => "failed, so this is what the record says",
            _ => "failed again, so this is an earlier one",
        };
        facts.push(("analysis", format!("{what}: {error}")));
    }
    facts
}

fn no_report(dump: &Dump) -> String {
    match (dump.summary.status, &dump.summary.analysis_error) {
        (DumpStatus::Failed, Some(error)) => {
            format!("there is no backtrace: analysis failed: {error}")
        }
        (DumpStatus::Failed, None) => "there is no backtrace: analysis failed".to_owned(),
        _ => "there is no backtrace yet: the analysis has not ended".to_owned(),
    }
}
