//! `token`: access tokens for people and programs that do not come by the unix socket.

use super::human;
use super::listing::{Field, Listing, Row, fetch};
use super::session::{Failure, Session};
use super::template::Format;
use super::text::visible;
use crate::api::tokens::{Created, Wish};
use crate::client::{ClientError, encode};
use aground_store::access::Token;
use std::io::Write;

/// Hand out, list and take back access tokens
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Make a token and print it: it is shown this once
    #[command(help_template = super::HELP)]
    Create(Create),
    /// List tokens
    #[command(help_template = super::HELP, visible_alias = "list")]
    Ls(List),
    /// Take tokens back; their bearers are nobody from then on
    #[command(help_template = super::HELP)]
    Rm(Remove),
}

#[derive(clap::Args)]
struct Create {
    /// What its bearer may do: read, debug (memory too) or admin
    #[arg(long, value_name = "ROLE")]
    role: String,
    /// Its name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only crashes of containers with this label (repeatable)
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Only crashes of this Kubernetes namespace (repeatable)
    #[arg(long = "namespace", value_name = "NAMESPACE")]
    namespaces: Vec<String>,
    /// Only crashes of this image, such as shop/* (repeatable)
    #[arg(long = "image", value_name = "PATTERN")]
    images: Vec<String>,
    /// After how long it is worth nothing, such as 30d
    #[arg(long, value_name = "DURATION")]
    expires: Option<String>,
    /// Only print the token itself
    #[arg(short, long)]
    quiet: bool,
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
struct Remove {
    /// Names or ids
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
}

const fn field(name: &'static str, header: &'static str) -> Field {
    Field { name, header }
}

const LISTING: Listing = Listing {
    fields: &[
        field("Name", "NAME"),
        field("ID", "ID"),
        field("Role", "ROLE"),
        field("Scope", "SCOPE"),
        field("Created", "CREATED"),
        field("Expires", "EXPIRES"),
        field("LastUsed", "LAST USED"),
        field("LastUsedFrom", "FROM"),
    ],
    columns: &[
        "Name",
        "Role",
        "Scope",
        "Created",
        "Expires",
        "LastUsed",
        "LastUsedFrom",
    ],
};

/// Creates, lists or removes.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    match arguments.action {
        Action::Create(arguments) => create(arguments, session).await,
        Action::Ls(arguments) => list(arguments, session).await,
        Action::Rm(arguments) => remove(arguments, session).await,
    }
}

async fn create(arguments: Create, session: &mut Session) -> Result<(), Failure> {
    let labels = arguments
        .labels
        .into_iter()
        .map(|label| format!("label={label}"));
    let namespaces = arguments
        .namespaces
        .into_iter()
        .map(|n| format!("namespace={n}"));
    let images = arguments
        .images
        .into_iter()
        .map(|image| format!("image={image}"));
    let wish = Wish {
        name: arguments.name,
        role: arguments.role,
        scope: labels.chain(namespaces).chain(images).collect(),
        expires: arguments.expires,
    };
    let created: Created = session.client.post_json("/api/v1/tokens", &wish).await?;
    if arguments.quiet {
        writeln!(session.out, "{}", visible(&created.secret))?;
        return Ok(());
    }
    let token = created.token;
    writeln!(
        session.out,
        "Token {} ({}, {}), shown this once:\n{}",
        visible(&token.name),
        token.role,
        visible(&token.scope.to_string()),
        visible(&created.secret)
    )?;
    Ok(())
}

async fn list(arguments: List, session: &mut Session) -> Result<(), Failure> {
    let tokens: Vec<Token> = fetch(session, "/api/v1/tokens", "", None).await?;
    let now = session.now_ms;
    let rows: Vec<Row> = tokens.into_iter().map(|token| row(token, now)).collect();
    let format = Format::parse(arguments.format.as_deref());
    LISTING.print(session, &rows, &format, arguments.quiet)
}

fn row(token: Token, now: i64) -> Row {
    let expires = match token.expires_at_ms {
        None => "never".to_owned(),
        Some(_) if token.is_expired(now) => "expired".to_owned(),
        Some(at) => format!("in {}", human::duration(at.saturating_sub(now))),
    };
    let used = token
        .last_used_ms
        .map_or("never".to_owned(), |at| human::ago(at, now));
    Row {
        values: vec![
            token.name,
            token.id,
            token.role.to_string(),
            token.scope.to_string(),
            human::ago(token.created_at_ms, now),
            expires,
            used,
            token.last_used_from.unwrap_or_default(),
        ],
        ..Row::default()
    }
}

async fn remove(arguments: Remove, session: &mut Session) -> Result<(), Failure> {
    let mut failed = false;
    for name in &arguments.names {
        let target = format!("/api/v1/tokens/{}", encode(name));
        match session.client.delete::<Token>(&target).await {
            Ok(removed) => writeln!(session.out, "{}", visible(&removed.name))?,
            Err(error @ ClientError::Refused(_)) => {
                failed = true;
                session.complain(&format!("{name}: {error}"));
            }
            Err(error) => return Err(error.into()),
        }
    }
    if failed { Err(Failure::Told) } else { Ok(()) }
}
