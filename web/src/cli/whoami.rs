//! `aground whoami`: whose a process is, as the helper would see it, and how that is known.

use super::session::Failure;
use super::text::{visible, visible_json};
use aground_helper::whoami::{Answer, of_captured, of_process};
use std::io::Write;
use std::path::PathBuf;

/// Show which container a process belongs to, and how that is known
#[derive(clap::Args)]
pub struct Arguments {
    /// A living process
    #[arg(
        value_name = "PID",
        required_unless_present = "proc",
        conflicts_with_all = ["proc", "root"],
        value_parser = clap::value_parser!(i32).range(1..)
    )]
    pid: Option<i32>,
    /// Captured files of a process instead: DIR/cgroup, DIR/mountinfo, DIR/status, DIR/cmdline
    #[arg(long, value_name = "DIR")]
    proc: Option<PathBuf>,
    /// A copy of the host's disk for --proc; without it, what the files claim
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Format output: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// Prints the identity and where each part of it came from.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let answer = match (&arguments.proc, arguments.pid) {
        (Some(proc), _) => of_captured(proc, arguments.root.as_deref()),
        (None, pid) => of_process(pid.unwrap_or_default()),
    };
    let answer = answer.map_err(|error| Failure::Message(error.to_string()))?;
    let text = if arguments.format == "json" {
        let json = serde_json::to_string_pretty(&answer).map_err(std::io::Error::from)?;
        format!("{}\n", visible_json(&json))
    } else {
        text(&answer)
    };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn text(answer: &Answer) -> String {
    let mut lines: Vec<String> = facts(answer)
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:<14}{}", visible(&value)))
        .collect();
    for step in &answer.evidence {
        lines.push(format!(
            "{:<14}{}: {}",
            step.from.as_str(),
            visible(&step.detail),
            step.facts.join(", ")
        ));
    }
    let problems = answer.problems.iter();
    lines.extend(problems.map(|problem| format!("{:<14}{}", "note", visible(problem))));
    lines.push(String::new());
    lines.join("\n")
}

fn facts(answer: &Answer) -> Vec<(&'static str, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let runtime = match (&answer.runtime, &answer.runtime_namespace) {
        (Some(runtime), Some(namespace)) => format!("{runtime}, namespace {namespace}"),
        (Some(runtime), None) => runtime.clone(),
        (None, _) => "none: a process of the host".to_owned(),
    };
    let chain: Vec<String> = answer
        .chain
        .iter()
        .map(|inner| format!("{} {}", inner.runtime, inner.id))
        .collect();
    let source = match answer.id {
        Some(_) => word(serde_json::json!(answer.source)),
        None => "cgroup".to_owned(),
    };
    let labels = answer.labels.iter();
    let labels: Vec<String> = labels
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let sandbox = answer.sandbox.filter(|sandbox| *sandbox);
    vec![
        (
            "process",
            answer.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        ),
        ("command", text(&answer.command)),
        ("runtime", runtime),
        ("id", text(&answer.id)),
        ("name", text(&answer.name)),
        ("image", text(&answer.image)),
        ("image id", text(&answer.image_id)),
        ("digests", answer.image_digests.join(", ")),
        ("labels", labels.join(", ")),
        ("namespace", text(&answer.namespace)),
        ("pod", text(&answer.pod)),
        ("pod uid", text(&answer.pod_uid)),
        ("container", text(&answer.container)),
        ("owner", text(&answer.owner)),
        ("sandbox", text(&answer.sandbox_id)),
        (
            "pause",
            sandbox.map(|_| "yes".to_owned()).unwrap_or_default(),
        ),
        (
            "restarts",
            answer
                .restart_count
                .map(|count| count.to_string())
                .unwrap_or_default(),
        ),
        (
            "user",
            answer.user.map(|user| user.to_string()).unwrap_or_default(),
        ),
        ("unit", text(&answer.unit)),
        ("cgroup", text(&answer.cgroup)),
        ("claimed inside", chain.join(", ")),
        (
            "known from",
            format!("{source}, {}", word(serde_json::json!(answer.confidence))),
        ),
    ]
}
