//! `searches`: names for queries, so that `--saved NAME` asks them again.

use super::human;
use super::listing::{Field, Listing, Row, fetch};
use super::session::{Failure, Session};
use super::template::Format;
use crate::client::{ClientError, encode};
use aground_store::searches::SavedSearch;
use std::io::Write;

/// Flags of `searches`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: List,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List saved searches
    #[command(help_template = super::HELP, visible_alias = "list")]
    Ls(List),
    /// Save a query under a name, in the place of one that had it
    #[command(help_template = super::HELP)]
    Save(Save),
    /// Remove saved searches
    #[command(help_template = super::HELP)]
    Rm(Remove),
}

#[derive(clap::Args)]
struct List {
    /// Only display names
    #[arg(short, long)]
    quiet: bool,
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

#[derive(clap::Args)]
struct Save {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    /// Query: field:value terms and words, such as image:api* panic
    #[arg(value_name = "QUERY", required = true)]
    words: Vec<String>,
}

#[derive(clap::Args)]
struct Remove {
    /// Names
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

const LISTING: Listing = Listing {
    fields: &[
        Field {
            name: "Name",
            header: "NAME",
        },
        Field {
            name: "Query",
            header: "QUERY",
        },
        Field {
            name: "Saved",
            header: "SAVED",
        },
    ],
    columns: &["Name", "Query", "Saved"],
};

/// Lists, saves or removes.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    match arguments.action {
        None => list(arguments.list, session).await,
        Some(Action::Ls(arguments)) => list(arguments, session).await,
        Some(Action::Save(arguments)) => save(arguments, session).await,
        Some(Action::Rm(arguments)) => remove(arguments, session).await,
    }
}

async fn list(arguments: List, session: &mut Session) -> Result<(), Failure> {
    let searches: Vec<SavedSearch> = fetch(session, "/api/v1/searches", "", None).await?;
    let now = session.now_ms;
    let rows: Vec<Row> = searches
        .into_iter()
        .map(|search| Row {
            values: vec![
                search.name,
                search.query,
                human::ago(search.saved_at_ms, now),
            ],
            ..Row::default()
        })
        .collect();
    let format = Format::parse(arguments.format.as_deref());
    LISTING.print(session, &rows, &format, arguments.quiet)
}

async fn save(arguments: Save, session: &mut Session) -> Result<(), Failure> {
    let text = arguments.words.join(" ");
    let target = format!(
        "/api/v1/searches/{}?query={}",
        encode(&arguments.name),
        encode(&text)
    );
    let saved = session.client.put::<SavedSearch>(&target).await;
    let saved = saved.map_err(|error| match error {
        ClientError::Refused(problem) if problem.query.is_some() => {
            Failure::Query { text, problem }
        }
        other => other.into(),
    })?;
    writeln!(session.out, "{}", super::text::visible(&saved.name))?;
    Ok(())
}

async fn remove(arguments: Remove, session: &mut Session) -> Result<(), Failure> {
    let mut failed = false;
    for name in &arguments.names {
        let target = format!("/api/v1/searches/{}", encode(name));
        match session.client.delete::<SavedSearch>(&target).await {
            Ok(removed) => writeln!(session.out, "{}", super::text::visible(&removed.name))?,
            Err(error @ ClientError::Refused(_)) => {
                failed = true;
                session.complain(&error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
    }
    if failed { Err(Failure::Told) } else { Ok(()) }
}
