//! `symbols`: keeps files of debug symbols, and lists and removes them.

use super::human;
use super::listing::{Field, Listing, Row, fetch as all_of};
use super::session::{Failure, Session};
use super::template::Format;
use super::text::visible;
use super::upload::{Sending, send};
use crate::api::symbols::Fetching;
use crate::client::{ClientError, encode};
use aground_daemon::Uploaded;
use aground_store::symbols::SymbolFile;
use aground_store::wanted::MissingSymbols;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Flags of `symbols`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Hand in programs or debug files; crashes they belong to are analysed again
    #[command(help_template = super::HELP)]
    Upload(Upload),
    /// List the symbols that were handed in
    #[command(help_template = super::HELP, visible_alias = "list")]
    Ls(List),
    /// List the symbols that crashes lack, those that most crashes lack first
    #[command(help_template = super::HELP)]
    Missing(List),
    /// Ask the debuginfod servers now for all that is missing
    #[command(help_template = super::HELP)]
    Fetch,
    /// Remove symbols; the reports they made stay
    #[command(help_template = super::HELP)]
    Rm(Remove),
}

#[derive(clap::Args)]
struct Upload {
    /// ELF files with debug information or a symbol table, and a build ID
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Only print build IDs
    #[arg(short, long)]
    quiet: bool,
}

#[derive(clap::Args)]
struct List {
    /// Only display build IDs
    #[arg(short, long)]
    quiet: bool,
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

#[derive(clap::Args)]
struct Remove {
    /// Build IDs
    #[arg(value_name = "BUILD-ID", required = true)]
    build_ids: Vec<String>,
}

const LISTING: Listing = Listing {
    fields: &[
        field("BuildID", "BUILD ID"),
        field("Name", "NAME"),
        field("Debug", "SYMBOLS"),
        field("Size", "SIZE"),
        field("Source", "SOURCE"),
        field("Uploaded", "CAME"),
        field("Used", "USED"),
    ],
    columns: &[
        "BuildID", "Name", "Debug", "Size", "Source", "Uploaded", "Used",
    ],
};

const MISSING: Listing = Listing {
    fields: &[
        field("BuildID", "BUILD ID"),
        field("Module", "MODULE"),
        field("Crashes", "CRASHES"),
        field("LastSeen", "LAST SEEN"),
        field("Asked", "DEBUGINFOD"),
    ],
    columns: &["BuildID", "Module", "Crashes", "LastSeen", "Asked"],
};

const fn field(name: &'static str, header: &'static str) -> Field {
    Field { name, header }
}

/// Uploads, lists or removes.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    match &arguments.action {
        Action::Upload(upload) => upload_all(upload, session).await,
        Action::Ls(arguments) => list(arguments, session).await,
        Action::Missing(arguments) => list_missing(arguments, session).await,
        Action::Fetch => fetch(session).await,
        Action::Rm(remove) => remove_all(remove, session).await,
    }
}

async fn upload_all(upload: &Upload, session: &mut Session) -> Result<(), Failure> {
    let mut failed = false;
    for file in &upload.files {
        match upload_one(file, upload.quiet, session).await {
            Ok(uploaded) => told(&uploaded, upload.quiet, session)?,
            Err(error @ Failure::Client(ClientError::Unreachable { .. })) => return Err(error),
            Err(error) => {
                let error = error.message().unwrap_or_default();
                session.complain(&format!("{}: {error}", file.display()));
                failed = true;
            }
        }
    }
    if failed { Err(Failure::Told) } else { Ok(()) }
}

async fn upload_one(path: &Path, quiet: bool, session: &Session) -> Result<Uploaded, Failure> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let target = format!("/api/v1/symbols?name={}", encode(&name));
    let sending = Sending {
        target: &target,
        doing: "Uploading",
        quiet,
    };
    send(path, &sending, session).await
}

fn told(uploaded: &Uploaded, quiet: bool, session: &mut Session) -> std::io::Result<()> {
    let file = &uploaded.file;
    if quiet {
        return writeln!(session.out, "{}", file.build_id);
    }
    let again = match uploaded.reanalysed {
        0 => "no crash here has it".to_owned(),
        1 => "1 crash is analysed again".to_owned(),
        count => format!("{count} crashes are analysed again"),
    };
    let name = visible(&file.name);
    writeln!(session.out, "{}  {name} ({again})", file.build_id)
}

async fn list(arguments: &List, session: &mut Session) -> Result<(), Failure> {
    let files: Vec<SymbolFile> = all_of(session, "/api/v1/symbols", "", None).await?;
    let now = session.now_ms;
    let rows: Vec<Row> = files.into_iter().map(|file| row(file, now)).collect();
    let format = Format::parse(arguments.format.as_deref());
    LISTING.print(session, &rows, &format, arguments.quiet)
}

fn row(file: SymbolFile, now_ms: i64) -> Row {
    Row {
        values: vec![
            file.build_id,
            file.name,
            file.debug,
            human::size(file.size),
            file.source.as_str().to_owned(),
            human::ago(file.uploaded_at_ms, now_ms),
            human::ago(file.used_at_ms, now_ms),
        ],
        ..Row::default()
    }
}

async fn list_missing(arguments: &List, session: &mut Session) -> Result<(), Failure> {
    let path = "/api/v1/symbols/missing";
    let files: Vec<MissingSymbols> = all_of(session, path, "", None).await?;
    let now = session.now_ms;
    let row = |file: MissingSymbols| Row {
        values: vec![
            file.build_id,
            file.module,
            file.crashes.to_string(),
            human::ago(file.last_seen_ms, now),
            file.outcome.unwrap_or_else(|| "not asked".to_owned()),
        ],
        ..Row::default()
    };
    let rows: Vec<Row> = files.into_iter().map(row).collect();
    let format = Format::parse(arguments.format.as_deref());
    MISSING.print(session, &rows, &format, arguments.quiet)
}

async fn fetch(session: &mut Session) -> Result<(), Failure> {
    let asked: Fetching = session.client.post("/api/v1/symbols/fetch").await?;
    let files = asked.files;
    let plural = if files == 1 { "" } else { "s" };
    writeln!(session.out, "asking for {files} file{plural}")?;
    Ok(())
}

async fn remove_all(remove: &Remove, session: &mut Session) -> Result<(), Failure> {
    let mut failed = false;
    for build_id in &remove.build_ids {
        let target = format!("/api/v1/symbols/{}", encode(build_id));
        match session.client.delete::<String>(&target).await {
            Ok(_) => writeln!(session.out, "{}", visible(build_id))?,
            Err(error @ (ClientError::Refused(_) | ClientError::Broken { .. })) => {
                session.complain(&error.to_string());
                failed = true;
            }
            Err(error) => return Err(error.into()),
        }
    }
    if failed { Err(Failure::Told) } else { Ok(()) }
}
