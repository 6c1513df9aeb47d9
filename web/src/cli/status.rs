//! `status`: what an operator asks first.

use super::human;
use super::session::{Failure, Session};
use super::text::{visible, visible_json};
use aground_daemon::{DaemonStatus, EngineStatus, RegroupStatus};
use std::fmt::Write as _;
use std::io::Write;

/// Flags of `status`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Format output: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// Prints the daemon's status.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let status: DaemonStatus = session.client.get("/api/v1/status").await?;
    if arguments.format == "json" {
        let json = serde_json::to_string_pretty(&status).map_err(std::io::Error::from)?;
        writeln!(session.out, "{}", visible_json(&json))?;
        return Ok(());
    }
    for (name, value) in facts(&status, session.now_ms) {
        writeln!(session.out, "{name:<14}{}", visible(&value))?;
    }
    for (entry, reason) in &status.rejected {
        writeln!(
            session.out,
            "{:<14}{}: {}",
            "Rejected",
            visible(entry),
            visible(reason)
        )?;
    }
    Ok(())
}

fn facts(status: &DaemonStatus, now_ms: i64) -> Vec<(&'static str, String)> {
    let store = &status.store;
    let up = human::duration(now_ms.saturating_sub(status.started_at_ms)).to_lowercase();
    let mut facts = vec![
        (
            "Daemon",
            format!(
                "{}, up {up}, {} resident",
                status.version,
                human::size(status.resident_bytes)
            ),
        ),
        ("Kernel", kernel(status)),
        (
            "Dumps",
            format!("{} in {}", store.dumps, counted(store.groups, "group")),
        ),
        ("Analysis", analysis(status)),
        ("Spool", spool(status, now_ms)),
        ("Stored", stored(status)),
        ("Limits", limits(status)),
        ("Engines", engines(status)),
        ("Symbols", symbols(status)),
        ("Notifies", notifies(status)),
    ];
    let retention = &status.retention;
    if let Some(unmet) = &retention.unmet {
        facts.push(("Limit NOT met", unmet.clone()));
    }
    if let Some(waiting) = &status.waiting {
        facts.push((
            "Spool WAITS",
            format!("a crash could not be taken in: {waiting}"),
        ));
    }
    if let Some(last) = retention.given_up.front() {
        let ago = human::ago(last.at_ms, now_ms).to_lowercase();
        let count = counted(u64::try_from(retention.given_up.len()).unwrap_or(0), "step");
        let reason = &last.step.reason;
        facts.push((
            "Given up",
            format!("{count} lately, the last {ago} because {reason}"),
        ));
    }
    if let Some(regroup) = regroup(&status.regroup) {
        facts.push(("Grouping", regroup));
    }
    if store.failed > 0 {
        facts.push((
            "Failed",
            format!("{} could not be analysed", counted(store.failed, "dump")),
        ));
    }
    facts
}

/// How signing crashes anew goes; nothing when there was nothing to do.
fn regroup(regroup: &RegroupStatus) -> Option<String> {
    let RegroupStatus {
        all, done, moved, ..
    } = regroup;
    let far = format!(
        "{done} of {} signed by the rules in force, {moved} moved",
        counted(*all, "crash")
    );
    if let Some(trouble) = &regroup.trouble {
        return Some(format!("STOPPED after {far}: {trouble}"));
    }
    (*all > 0).then(|| {
        if regroup.running {
            format!("{far}, at work")
        } else {
            far
        }
    })
}

fn counted(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn kernel(status: &DaemonStatus) -> String {
    let pattern = &status.core_pattern;
    if status.installed {
        format!("installed: core_pattern is {pattern}")
    } else {
        format!("NOT installed: core_pattern is {pattern} (sudo aground install)")
    }
}

fn analysis(status: &DaemonStatus) -> String {
    let store = &status.store;
    let mut text = format!(
        "{} done, {} waiting, {} running",
        status.analyses,
        store.pending,
        status.analyzing.len()
    );
    if let Some(oldest) = store.oldest_pending_ms {
        let age = human::duration(i64::try_from(oldest).unwrap_or(i64::MAX));
        // Writing to a String cannot fail.
        let _ = write!(text, ", oldest waits {}", age.to_lowercase());
    }
    if status.worker_failures > 0 {
        let _ = write!(
            text,
            ", {} workers died or were killed",
            status.worker_failures
        );
    }
    text
}

fn spool(status: &DaemonStatus, now_ms: i64) -> String {
    let rescan = match status.last_rescan_ms {
        Some(then) => human::ago(then, now_ms).to_lowercase(),
        None => "never".to_owned(),
    };
    format!(
        "{} arriving, {} ready, last rescan {rescan}",
        status.spool_incoming, status.spool_ready
    )
}

fn engines(status: &DaemonStatus) -> String {
    let told = |engine: &EngineStatus| match &engine.trouble {
        None => format!(
            "{} followed, {} known",
            engine.runtime,
            counted(engine.containers, "container")
        ),
        Some(trouble) => format!("{} not followed: {trouble}", engine.runtime),
    };
    let engines: Vec<String> = status.engines.iter().map(told).collect();
    if engines.is_empty() {
        return "none followed".to_owned();
    }
    engines.join(", ")
}

fn symbols(status: &DaemonStatus) -> String {
    let symbols = &status.symbols;
    let mut text = format!(
        "{}, {} of {} used",
        counted(symbols.files, "file"),
        human::size(symbols.bytes),
        human::size(symbols.max_bytes)
    );
    for server in &symbols.debuginfod {
        let came = counted(server.fetched, "file");
        // Writing to a String cannot fail.
        let _ = write!(text, ", {came} from {}", server.url);
        if let Some(trouble) = &server.trouble {
            let _ = write!(text, " (trouble: {trouble})");
        }
    }
    text
}

fn notifies(status: &DaemonStatus) -> String {
    if status.targets.is_empty() {
        return "nobody: [[notify.target]] in the configuration names who".to_owned();
    }
    let told = status.targets.iter().map(|target| {
        let tally = &target.tally;
        let mut text = format!("{} ({} delivered", target.name, tally.delivered);
        // Writing to a String cannot fail.
        if tally.waiting > 0 {
            let why = tally.last_outcome.as_deref().unwrap_or("not tried yet");
            let _ = write!(text, ", {} wait: {why}", tally.waiting);
        }
        if tally.failed > 0 {
            let _ = write!(text, ", {} given up", tally.failed);
        }
        text + ")"
    });
    told.collect::<Vec<_>>().join(", ")
}

fn limits(status: &DaemonStatus) -> String {
    let retention = &status.retention;
    let limits = &retention.limits;
    let quota = limits.max_bytes.map_or("no quota".to_owned(), |most| {
        format!(
            "{} of {} used",
            human::size(retention.held_bytes),
            human::size(most)
        )
    });
    let mut text = format!("{quota}, {} must stay free", human::size(limits.min_free));
    for (age, what) in [
        (limits.max_age_ms, "dumps"),
        (limits.memory_age_ms, "memory"),
    ] {
        if let Some(age) = age {
            let age = human::duration(i64::try_from(age).unwrap_or(i64::MAX)).to_lowercase();
            // Writing to a String cannot fail.
            let _ = write!(text, ", {what} kept for {age}");
        }
    }
    let _ = write!(
        text,
        ", {} pinned, {} of {} in reserve for records",
        status.store.pinned,
        human::size(retention.reserve_bytes),
        human::size(retention.reserve_wanted)
    );
    text
}

fn stored(status: &DaemonStatus) -> String {
    let store = &status.store;
    format!(
        "{} of cores, {} in {}, {} of database, {} free",
        human::size(store.core_bytes),
        human::size(store.module_bytes),
        counted(store.modules, "module"),
        human::size(store.database_bytes),
        human::size(store.free_bytes),
    )
}
