//! `bt`: why a process died and where.

use super::human;
use super::session::{Failure, Session};
use super::text::{visible, visible_lines};
use crate::client::encode;
use aground_analyzer::report::{Frame, Report, Thread};
use aground_store::types::{Dump, DumpStatus};
use std::fmt::Write as _;
use std::io::Write;

/// Flags of `bt`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Dump ID or the beginning of one
    #[arg(value_name = "DUMP")]
    dump: String,
    /// Show all threads, not only the crashed one
    #[arg(short, long)]
    all_threads: bool,
}

/// Prints the cause, then the stack.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let dump: Dump = session
        .client
        .get(&format!("/api/v1/dumps/{}", encode(&arguments.dump)))
        .await?;
    for (name, value) in facts(&dump, session.now_ms) {
        writeln!(session.out, "{name:<11}{}", visible(&value))?;
    }
    writeln!(session.out)?;
    let Some(report) = &dump.report else {
        return Err(Failure::Message(no_report(&dump)));
    };
    let text = visible_lines(&render(report, arguments.all_threads));
    session.out.write_all(text.as_bytes())?;
    Ok(())
}

fn facts(dump: &Dump, now_ms: i64) -> Vec<(&'static str, String)> {
    let summary = &dump.summary;
    let died = human::ago(summary.crashed_at_ms, now_ms);
    let mut facts = vec![("Dump", summary.id.to_string())];
    let container = match &summary.container {
        Some(container) => {
            let name = container.name.as_deref().unwrap_or("(name unknown)");
            let image = container.image.as_deref().unwrap_or("unknown image");
            format!("{name} ({}, {image})", super::ls::short(&container.id))
        }
        None => format!(
            "none: a process of the host ({})",
            summary.unit.as_deref().unwrap_or("no unit")
        ),
    };
    facts.push(("Container", container));
    facts.push((
        "Process",
        format!("{} (pid {})", summary.command, summary.pid),
    ));
    facts.push((
        "Died",
        format!("{}, {died} on {}", summary.signal, summary.host),
    ));
    if let Some(group) = &summary.group {
        facts.push(("Group", group.clone()));
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

/// Cause on top, then the crashed thread, then the others when asked for.
fn render(report: &Report, all_threads: bool) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{} ({})", report.cause.title, report.cause.confidence);
    for evidence in &report.cause.evidence {
        let _ = writeln!(text, "  {evidence}");
    }
    let shown = report
        .threads
        .iter()
        .filter(|thread| all_threads || thread.crashed);
    for thread in shown {
        render_thread(&mut text, thread);
    }
    for warning in &report.warnings {
        let _ = writeln!(text, "\nwarning: {warning}");
    }
    text
}

fn render_thread(text: &mut String, thread: &Thread) {
    let name = thread
        .name
        .as_deref()
        .map(|name| format!(" \"{name}\""))
        .unwrap_or_default();
    let crashed = if thread.crashed { ", crashed" } else { "" };
    let _ = writeln!(text, "\nThread {}{name}{crashed}", thread.tid);
    for frame in &thread.frames {
        let _ = writeln!(text, "{}", frame_line(frame));
    }
    if let Some(why) = &thread.incomplete {
        let _ = writeln!(text, "    (the stack ends here: {why})");
    }
}

fn frame_line(frame: &Frame) -> String {
    let function = frame.function.as_deref().unwrap_or("??");
    let place = match (&frame.file, frame.line, &frame.module) {
        (Some(file), Some(line), _) => format!(" at {file}:{line}"),
        (Some(file), None, _) => format!(" at {file}"),
        (None, _, Some(module)) => format!(" from {module}"),
        (None, _, None) => String::new(),
    };
    let inline = if frame.inline { " (inlined)" } else { "" };
    format!(
        "#{:<3} {} in {function}{place}{inline}",
        frame.index, frame.pc
    )
}
