//! `report`: counts crashes by what they have in common, with a trend.

use super::human;
use super::narrowing::Narrowing;
use super::session::{Failure, Session};
use super::table::{self, Cell};
use super::text::{ellipsis, visible, visible_json};
use crate::client::{ClientError, encode};
use aground_store::tally::{Tally, TallyRow};
use std::io::Write;

/// Flags of `report`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Fields to count by, at most three: image, cause, host, label:KEY and more
    #[arg(value_name = "FIELD[,FIELD]")]
    by: String,
    #[command(flatten)]
    narrowing: Narrowing,
    /// Show trends by the hour, day or week
    #[arg(long, value_name = "TIME", value_parser = ["1h", "1d", "1w"])]
    over: Option<String>,
    /// Show n most frequent rows (at most 1000)
    #[arg(short = 'n', long = "last", value_name = "N", default_value_t = 25)]
    limit: usize,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Format output: table or json
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

/// Counts.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    let mut target = format!(
        "/api/v1/report?by={}&limit={}",
        encode(&arguments.by),
        arguments.limit.max(1)
    );
    if let Some(over) = &arguments.over {
        target = format!("{target}&over={over}");
    }
    let narrowing = arguments.narrowing.parameters()?;
    if !narrowing.is_empty() {
        target = format!("{target}&{narrowing}");
    }
    let tally: Tally = session
        .client
        .get(&target)
        .await
        .map_err(|error| explain(&arguments, error))?;
    if arguments.format == "json" {
        let json = serde_json::to_string_pretty(&tally).map_err(std::io::Error::from)?;
        writeln!(session.out, "{}", visible_json(&json))?;
        return Ok(());
    }
    show(session, &tally, !arguments.no_trunc)
}

/// The place of a wrong field is in the fields, not in the query.
fn explain(arguments: &Arguments, error: ClientError) -> Failure {
    match error {
        ClientError::Refused(problem)
            if problem
                .query
                .as_ref()
                .is_some_and(|wrong| wrong.parameter == "by") =>
        {
            Failure::Query {
                text: arguments.by.clone(),
                problem,
            }
        }
        other => arguments.narrowing.explain(other),
    }
}

fn show(session: &mut Session, tally: &Tally, truncate: bool) -> Result<(), Failure> {
    let heads = tally.by.iter().map(|name| visible(name).to_uppercase());
    let mut header: Vec<Cell> = heads.map(Cell::from).collect();
    header.extend(["CRASHES", "SHARE", "GROUPS", "FIRST SEEN", "LAST SEEN"].map(Cell::from));
    if let Some(width) = tally.bucket_ms {
        let length = i64::try_from(tally.trend.len()).unwrap_or(0);
        let window = human::duration(width.saturating_mul(length));
        header.push(format!("LAST {}", window.to_uppercase()).into());
    }
    let mut table = vec![header];
    for row in &tally.rows {
        table.push(cells(row, tally, session.now_ms, truncate));
    }
    table::write(&mut session.out, &table, false)?;
    let different: Vec<String> = tally
        .by
        .iter()
        .zip(&tally.distinct)
        .map(|(name, number)| format!("{number} of {}", visible(name)))
        .collect();
    writeln!(
        session.out,
        "\n{} crashes; different values: {}",
        tally.crashes,
        different.join(", ")
    )?;
    if tally.more_rows > 0 || tally.more_crashes > 0 {
        writeln!(
            session.out,
            "{} more rows with {} crashes (-n shows more)",
            tally.more_rows, tally.more_crashes
        )?;
    }
    if let Some(cut) = &tally.cut {
        writeln!(session.out, "{}", visible(cut))?;
    }
    Ok(())
}

fn cells(row: &TallyRow, tally: &Tally, now_ms: i64, truncate: bool) -> Vec<Cell> {
    let value = |value: &Option<String>| match value.as_deref() {
        None | Some("") => "-".to_owned(),
        Some(text) if truncate => ellipsis(&visible(text), 48),
        Some(text) => visible(text),
    };
    let mut cells: Vec<Cell> = row.values.iter().map(|v| value(v).into()).collect();
    cells.push(row.crashes.to_string().into());
    cells.push(share(row.crashes, tally.crashes).into());
    cells.push(row.groups.to_string().into());
    cells.push(human::ago(row.first_seen_ms, now_ms).into());
    cells.push(human::ago(row.last_seen_ms, now_ms).into());
    if tally.bucket_ms.is_some() {
        cells.push(super::groups::sparkline(&row.trend).into());
    }
    cells
}

/// Per cent with one decimal.
pub fn share(part: u64, whole: u64) -> String {
    let thousandths = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{}%", thousandths / 10, thousandths % 10)
}
