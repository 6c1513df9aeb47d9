//! `compare`: two crashes side by side, what differs first.

use super::session::{Failure, Session};
use super::table::{self, Cell};
use super::text::{ellipsis, visible, visible_json};
use crate::client::encode;
use crate::compare::{Comparison, Pair, Place};
use std::io::Write;

/// Arguments of `compare`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Dump ID or the beginning of one
    #[arg(value_name = "DUMP")]
    a: String,
    /// Another one; without it, the newest other one of its group
    #[arg(value_name = "OTHER")]
    b: Option<String>,
    /// Show also what is the same
    #[arg(short, long)]
    all: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Format output: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json"])]
    format: String,
}

/// Compares.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let mut target = format!("/api/v1/compare?a={}", encode(&arguments.a));
    if let Some(b) = &arguments.b {
        target = format!("{target}&b={}", encode(b));
    }
    let found: Comparison = session.client.get(&target).await?;
    if arguments.format == "json" {
        let json = serde_json::to_string_pretty(&found).map_err(std::io::Error::from)?;
        writeln!(session.out, "{}", visible_json(&json))?;
        return Ok(());
    }
    let longest = if arguments.no_trunc { usize::MAX } else { 60 };
    let group = if found.same_group {
        "one group"
    } else {
        "different groups"
    };
    let (a, b) = (found.a.id.short(), found.b.id.short());
    writeln!(session.out, "{a} and {b} are of {group}\n")?;
    let shown = |pair: &&Pair| arguments.all || !pair.same();
    let facts: Vec<&Pair> = found.facts.iter().filter(shown).collect();
    pairs(session, ["WHAT", a, b], &facts, longest)?;
    stacks(session, &found, longest)?;
    let variables: Vec<&Pair> = found.environment.iter().collect();
    pairs(session, ["VARIABLE", a, b], &variables, longest)?;
    let modules: Vec<&Pair> = found.modules.iter().collect();
    pairs(session, ["MODULE", a, b], &modules, longest)?;
    writeln!(
        session.out,
        "The same: {} facts, {} variables, {} modules",
        found.facts.iter().filter(|pair| pair.same()).count(),
        found.environment_same,
        found.modules_same
    )?;
    for note in &found.notes {
        session.complain(&visible(note));
    }
    Ok(())
}

fn pairs(
    session: &mut Session,
    header: [&str; 3],
    pairs: &[&Pair],
    longest: usize,
) -> Result<(), Failure> {
    if pairs.is_empty() {
        return Ok(());
    }
    let value = |value: &Option<String>| {
        let text = value.as_deref().map_or("-".to_owned(), visible);
        Cell::from(ellipsis(&text, longest))
    };
    let mut rows = vec![header.map(|text| Cell::from(text.to_owned())).to_vec()];
    rows.extend(pairs.iter().map(|pair| {
        let name = ellipsis(&visible(&pair.name), longest);
        vec![name.into(), value(&pair.a), value(&pair.b)]
    }));
    table::write(&mut session.out, &rows, false)?;
    writeln!(session.out)?;
    Ok(())
}

fn stacks(session: &mut Session, found: &Comparison, longest: usize) -> Result<(), Failure> {
    if found.stack.is_empty() {
        return Ok(());
    }
    let cell = |place: &Option<Place>| {
        let text = place.as_ref().map_or("-".to_owned(), |place| {
            let source = place.source.as_deref();
            let source = source.map_or(String::new(), |source| format!(" {source}"));
            visible(&format!("#{} {}{source}", place.index, place.function))
        });
        Cell::from(ellipsis(&text, longest))
    };
    let heads = [&found.a, &found.b].map(|dump| format!("STACK OF {}", dump.id.short()));
    let mut rows = vec![heads.map(Cell::from).to_vec()];
    rows.extend(
        found
            .stack
            .iter()
            .map(|row| vec![cell(&row.a), cell(&row.b)]),
    );
    table::write(&mut session.out, &rows, false)?;
    writeln!(session.out)?;
    Ok(())
}
