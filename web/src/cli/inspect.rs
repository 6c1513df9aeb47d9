//! `inspect`: everything known about dumps, as a JSON array or through a template.

use super::session::{Failure, Session};
use super::template::{self, Format, RowTemplate};
use super::text::visible_json;
use crate::client::{ClientError, encode};
use aground_store::types::Dump;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use std::io::Write;

/// Flags of `inspect`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Dump IDs or beginnings of them
    #[arg(value_name = "DUMP", required = true)]
    dumps: Vec<String>,
    /// Format output: json, or a Go template over the JSON's fields, such as {{.summary.title}}
    #[arg(short, long, value_name = "FORMAT")]
    format: Option<String>,
}

/// Prints those that are there; the others are errors, after everything else was tried.
pub async fn run(arguments: &Arguments, session: &mut Session) -> Result<(), Failure> {
    let format = Format::parse(arguments.format.as_deref());
    let template = match &format {
        Format::Template(text) => Some(RowTemplate::parse(text).map_err(Failure::InspectTemplate)?),
        Format::TableOf(_) => {
            let message = "inspect has no tables: use json or a template";
            return Err(Failure::Message(message.to_owned()));
        }
        Format::Table | Format::Json => None,
    };
    let mut found = Vec::new();
    let mut complaints = Vec::new();
    for reference in &arguments.dumps {
        let target = format!("/api/v1/dumps/{}", encode(reference));
        match session.client.get::<Dump>(&target).await {
            Ok(dump) => found.push(dump),
            Err(error @ ClientError::Refused(_)) => complaints.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
    }
    match template {
        Some(template) => expand(&template, &found, session)?,
        None if format == Format::Json => lines(&found, session)?,
        None => array(&found, session)?,
    }
    for complaint in &complaints {
        session.complain(complaint);
    }
    if complaints.is_empty() {
        Ok(())
    } else {
        Err(Failure::Told)
    }
}

/// One array, indented by 4 as Docker's.
fn array(dumps: &[Dump], session: &mut Session) -> Result<(), Failure> {
    let mut json = Vec::new();
    let mut serializer =
        Serializer::with_formatter(&mut json, PrettyFormatter::with_indent(b"    "));
    dumps
        .serialize(&mut serializer)
        .map_err(std::io::Error::from)?;
    let json = String::from_utf8(json).unwrap_or_default();
    writeln!(session.out, "{}", visible_json(&json))?;
    Ok(())
}

fn lines(dumps: &[Dump], session: &mut Session) -> Result<(), Failure> {
    for dump in dumps {
        let json = serde_json::to_string(dump).map_err(std::io::Error::from)?;
        writeln!(session.out, "{}", visible_json(&json))?;
    }
    Ok(())
}

fn expand(template: &RowTemplate, dumps: &[Dump], session: &mut Session) -> Result<(), Failure> {
    for dump in dumps {
        let json = serde_json::to_value(dump).map_err(std::io::Error::from)?;
        let text = template
            .expand(template::from_json(&json))
            .map_err(Failure::InspectTemplate)?;
        writeln!(session.out, "{text}")?;
    }
    Ok(())
}
