//! `rules`: shows, checks and runs the rules for known bugs and the scripts.

use super::decide::told;
use super::narrowing::Narrowing;
use super::session::{Failure, Session};
use super::table::{self, Cell};
use super::text::{visible, visible_json};
use crate::client::encode;
use aground_daemon::{RuleProblem, RuleSet, RulesOutcome, RulesStatus};
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `rules`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List rules and scripts, and what is wrong with them
    #[command(help_template = super::HELP, visible_alias = "list")]
    Ls {
        /// Format output: table or json
        #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
        format: String,
    },
    /// Check the files of a directory, without the daemon
    #[command(help_template = super::HELP)]
    Check {
        /// The directory
        #[arg(value_name = "DIR", default_value = "/etc/aground/rules.d")]
        directory: PathBuf,
    },
    /// Apply rules and scripts to what is there
    #[command(help_template = super::HELP)]
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    #[command(flatten)]
    narrowing: Narrowing,
    /// Say what would change, and change nothing
    #[arg(long = "dry-run")]
    dry: bool,
    /// Only this rule or script
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Scripts look at so many dumps, newest first (at most 1000)
    #[arg(long, value_name = "N", default_value_t = 200)]
    dumps: usize,
    /// Format output: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// Shows, checks or runs.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    match arguments.action {
        Action::Ls { format } => list(&format, session).await,
        Action::Check { directory } => check(&directory, session),
        Action::Run(run) => over_history(&run, session).await,
    }
}

async fn list(format: &str, session: &mut Session) -> Result<(), Failure> {
    let status: RulesStatus = session.client.get("/api/v1/rules").await?;
    if format == "json" {
        let json = serde_json::to_string_pretty(&status).map_err(std::io::Error::from)?;
        writeln!(session.out, "{}", visible_json(&json))?;
        return Ok(());
    }
    let header = ["NAME", "KIND", "FROM", "QUERY", "DOES", "MISTAKE"];
    let mut rows: Vec<Vec<Cell>> = vec![header.map(Cell::from).to_vec()];
    for rule in &status.rules {
        let mistake = rule.mistake.as_ref().map(|known| {
            format!(
                "line {}: {} ({} times)",
                known.mistake.line, known.mistake.message, known.count
            )
        });
        rows.push(vec![
            visible(&rule.name).into(),
            rule.kind.clone().into(),
            visible(&rule.place).into(),
            visible(&rule.query).into(),
            visible(&rule.does).into(),
            visible(&mistake.unwrap_or_default()).into(),
        ]);
    }
    table::write(&mut session.out, &rows, false)?;
    for problem in &status.problems {
        session.complain(&told_problem(problem));
    }
    Ok(())
}

fn told_problem(problem: &RuleProblem) -> String {
    format!("{}:{}: {}", problem.place, problem.line, problem.message)
}

fn check(directory: &std::path::Path, session: &mut Session) -> Result<(), Failure> {
    if !directory.is_dir() {
        return Err(Failure::Message(format!(
            "{} is no directory",
            directory.display()
        )));
    }
    let set = RuleSet::load(false, Some(directory));
    for problem in &set.problems {
        session.complain(&told_problem(problem));
    }
    let (rules, scripts) = (set.rules.len(), set.scripts.len());
    writeln!(
        session.out,
        "{rules} rules and {scripts} scripts can be used"
    )?;
    if set.problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::Told)
    }
}

async fn over_history(run: &Run, session: &mut Session) -> Result<(), Failure> {
    let mut parameters = run.narrowing.parameters()?;
    let mut add = |text: String| {
        if !parameters.is_empty() {
            parameters.push('&');
        }
        parameters.push_str(&text);
    };
    add(format!("dumps={}", run.dumps));
    add(format!("dry_run={}", run.dry));
    if let Some(rule) = &run.rule {
        add(format!("rule={}", encode(rule)));
    }
    let target = format!("/api/v1/rules/run?{parameters}");
    let outcome: RulesOutcome = session.client.post(&target).await?;
    if run.format == "json" {
        let json = serde_json::to_string_pretty(&outcome).map_err(std::io::Error::from)?;
        writeln!(session.out, "{}", visible_json(&json))?;
        return Ok(());
    }
    let would = if outcome.dry { "would be " } else { "" };
    for change in &outcome.changes {
        let what = told(&change.change);
        let what = what.lines().next().unwrap_or_default();
        let line = format!("{} {would}{what} (rule {})", change.group, change.rule);
        writeln!(session.out, "{}", visible(&line))?;
    }
    writeln!(
        session.out,
        "{} changes of groups{}; scripts looked at {} dumps",
        outcome.changes.len(),
        if outcome.dry { ", none made" } else { "" },
        outcome.scripted
    )?;
    for (property, dumps) in &outcome.properties {
        writeln!(session.out, "  {dumps:>6}  {}", visible(property))?;
    }
    for mistake in &outcome.mistakes {
        session.complain(&visible(mistake));
    }
    Ok(())
}
