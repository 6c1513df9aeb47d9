//! `groups explain`, `diff` and `try`: why crashes are one group, or two.

use super::session::{Failure, Session};
use super::table::{self, Cell};
use super::text::{visible, visible_json};
use crate::api::grouping::{Diff, Explanation, TryRequest};
use crate::client::encode;
use aground_analyzer::report::SignatureFrame;
use aground_store::likeness::Likeness;
use aground_store::trial::{Regrouped, Trial};
use serde::Serialize;
use std::io::{self, Write};
use std::path::PathBuf;

/// Flags of `explain`.
#[derive(clap::Args)]
pub(super) struct Explain {
    /// Group ID or the beginning of one
    #[arg(value_name = "GROUP")]
    group: String,
    #[command(flatten)]
    format: Format,
}

/// Flags of `diff`.
#[derive(clap::Args)]
pub(super) struct Compare {
    /// Group ID or the beginning of one
    #[arg(value_name = "GROUP")]
    one: String,
    /// The group to compare it with
    #[arg(value_name = "GROUP")]
    other: String,
    #[command(flatten)]
    format: Format,
}

/// Flags of `try`.
#[derive(clap::Args)]
pub(super) struct Try {
    /// File of rules: lines of an action (keep, drop, helper, system), a function and a module
    #[arg(value_name = "RULES")]
    rules: PathBuf,
    /// Try them on the n newest crashes
    #[arg(short = 'n', long = "last", value_name = "N", default_value_t = 1000)]
    last: u32,
    #[command(flatten)]
    format: Format,
}

#[derive(clap::Args)]
struct Format {
    /// Format output: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

impl Format {
    /// Prints it as JSON when that is asked for, and says whether it did.
    fn json(&self, session: &mut Session, value: &impl Serialize) -> Result<bool, Failure> {
        if self.format != "json" {
            return Ok(false);
        }
        let json = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
        writeln!(session.out, "{}", visible_json(&json))?;
        Ok(true)
    }
}

/// Shows why the crashes of a group are one.
pub(super) async fn explain(arguments: &Explain, session: &mut Session) -> Result<(), Failure> {
    let target = format!("/api/v1/groups/{}/explain", encode(&arguments.group));
    let explanation: Explanation = session.client.get(&target).await?;
    if arguments.format.json(session, &explanation)? {
        return Ok(());
    }
    writeln!(session.out, "Group      {}", visible(&explanation.group))?;
    writeln!(session.out, "Signature  {}", visible(&explanation.title))?;
    writeln!(session.out, "Class      {}", visible(&explanation.class))?;
    let own = match explanation.rules.as_str() {
        "" => String::new(),
        digest => format!(" with own rules {}", visible(digest)),
    };
    writeln!(
        session.out,
        "Made of    {} (rules version {}{own})",
        made_of(&explanation.kind),
        explanation.version
    )?;
    writeln!(session.out, "Hash       {}", visible(&explanation.hash))?;
    writeln!(session.out, "Newest     {}\n", explanation.dump)?;
    let mut rows: Vec<Vec<Cell>> = vec![
        ["", "FRAME", "WEIGHT", "IN GROUPS", "WHY"]
            .map(Cell::from)
            .into(),
    ];
    let weights = explanation
        .weights
        .iter()
        .copied()
        .chain(std::iter::repeat(None));
    for (frame, weight) in explanation.frames.iter().zip(weights) {
        let (mark, why) = judgement(frame);
        let number = |text: Option<String>| text.unwrap_or_default();
        rows.push(vec![
            mark.into(),
            visible(&frame.function).into(),
            number(weight.map(|weight| format!("{:.2}", weight.weight))).into(),
            number(weight.map(|weight| weight.groups.to_string())).into(),
            why.into(),
        ]);
    }
    table::write(&mut session.out, &rows, false)?;
    near(session, &explanation)
}

fn judgement(frame: &SignatureFrame) -> (&'static str, String) {
    match (&frame.rule, &frame.helper) {
        (_, Some(helper)) if frame.kept => {
            ("counts", format!("with its caller: {}", visible(helper)))
        }
        _ if frame.kept => ("counts", "part of the signature".to_owned()),
        (Some(rule), _) => ("dropped", visible(rule)),
        (None, _) => ("dropped", "beyond the frames that count".to_owned()),
    }
}

fn near(session: &mut Session, explanation: &Explanation) -> Result<(), Failure> {
    let out = &mut session.out;
    writeln!(
        out,
        "\nCrashes of this class join the group they are most like, from {:.2} on (1 is the same stack).",
        explanation.same_from
    )?;
    let mut line = |what: &str, near: &Likeness| {
        let group = visible(near.group.get(..12).unwrap_or(&near.group));
        writeln!(
            out,
            "{what} {:.2}  {group}  {}{}",
            near.likeness,
            visible(&near.title),
            if near.distinct { "  (told apart)" } else { "" }
        )
    };
    if let Some(joined) = &explanation.joined {
        line("this group ", joined)?;
    }
    for other in &explanation.near {
        line("other group", other)?;
    }
    if explanation.near.is_empty() {
        writeln!(out, "No other group has one of its frames on top.")?;
    }
    Ok(())
}

/// Shows two stacks side by side.
pub(super) async fn compare(arguments: &Compare, session: &mut Session) -> Result<(), Failure> {
    let target = format!(
        "/api/v1/groups/{}/diff/{}",
        encode(&arguments.one),
        encode(&arguments.other)
    );
    let diff: Diff = session.client.get(&target).await?;
    if arguments.format.json(session, &diff)? {
        return Ok(());
    }
    let header = |at: usize| {
        let side = diff.groups.get(at);
        side.map(|side| visible(side.group.get(..12).unwrap_or(&side.group)))
            .unwrap_or_default()
    };
    let mut rows: Vec<Vec<Cell>> = vec![vec!["".into(), header(0).into(), header(1).into()]];
    for [left, right] in &diff.rows {
        let shown = |frame: &Option<SignatureFrame>| match frame {
            Some(frame) if frame.kept => visible(&frame.function),
            Some(frame) => format!("({})", visible(&frame.function)),
            None => String::new(),
        };
        let mark = if left.is_some() && right.is_some() {
            "="
        } else {
            ""
        };
        rows.push(vec![mark.into(), shown(left).into(), shown(right).into()]);
    }
    table::write(&mut session.out, &rows, false)?;
    let [one, other] = &diff.groups;
    writeln!(session.out, "\nFrames in parentheses do not count.")?;
    writeln!(
        session.out,
        "Alike by {:.2}; crashes of one class are one group from {:.2} on.",
        diff.likeness, diff.same_from
    )?;
    if one.class == other.class {
        writeln!(
            session.out,
            "Both are of the class \"{}\".",
            visible(&one.class)
        )?;
    } else {
        writeln!(
            session.out,
            "Their classes differ: \"{}\" and \"{}\".",
            visible(&one.class),
            visible(&other.class)
        )?;
    }
    Ok(())
}

/// Says what rules would change.
pub(super) async fn try_rules(arguments: &Try, session: &mut Session) -> Result<(), Failure> {
    let rules = std::fs::read_to_string(&arguments.rules).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{}: {error}", arguments.rules.display()),
        )
    })?;
    let last = Some(arguments.last);
    let request = TryRequest { rules, last };
    let trial: Trial = session
        .client
        .post_json("/api/v1/groups/try", &request)
        .await?;
    if arguments.format.json(session, &trial)? {
        return Ok(());
    }
    writeln!(
        session.out,
        "{} crashes tried, {} would be signed otherwise: {} groups instead of {}.",
        trial.dumps, trial.signatures, trial.after, trial.before
    )?;
    list(session, "would part into", &trial.split)?;
    list(session, "would be made of", &trial.merged)
}

fn list(session: &mut Session, what: &str, groups: &[Regrouped]) -> Result<(), Failure> {
    for group in groups {
        let id = group.group.as_deref().unwrap_or_default();
        let id = visible(id.get(..12).unwrap_or(id));
        writeln!(session.out, "\n{id}  {} {what}", visible(&group.title))?;
        for (title, crashes) in &group.parts {
            writeln!(session.out, "{crashes:>8}  {}", visible(title))?;
        }
    }
    Ok(())
}

fn made_of(kind: &str) -> String {
    match kind {
        "symbolic" => "function names".to_owned(),
        "offsets" => "module build IDs and offsets".to_owned(),
        "facts" => "signal and executable: there was no stack".to_owned(),
        "label" => "the container's label aground.group".to_owned(),
        other => visible(other),
    }
}
