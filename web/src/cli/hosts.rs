//! `hosts`: what crashes where, and which host's hardware is suspect.

use super::listing::{Field, Listing, Paged, Row, walk};
use super::session::{Failure, Session};
use super::template::Format;
use super::text::visible;
use crate::api::report::HostPage;
use aground_store::hosts::HostCrashes;
use aground_store::types::Page;
use std::io::Write;

/// Flags of `hosts`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only display names
    #[arg(short, long)]
    quiet: bool,
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

const LISTING: Listing = Listing {
    fields: &[
        field("Host", "HOST"),
        field("Crashes", "CRASHES"),
        field("Groups", "GROUPS"),
        field("Alone", "SEEN HERE ALONE"),
        field("Usual", "USUAL"),
        field("Programs", "PROGRAMS"),
        field("Chance", "BY CHANCE"),
        field("Verdict", "HARDWARE"),
    ],
    columns: &[
        "Host", "Crashes", "Groups", "Alone", "Usual", "Programs", "Chance", "Verdict",
    ],
};

const fn field(name: &'static str, header: &'static str) -> Field {
    Field { name, header }
}

impl Paged for HostPage {
    type Item = HostCrashes;

    fn page(&mut self) -> &mut Page<HostCrashes> {
        &mut self.page
    }
}

/// Lists hosts, suspect ones first.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    let list: Option<HostPage> = walk(session, "/api/v1/hosts", "", None).await?;
    let Some(HostPage {
        page, too_little, ..
    }) = list
    else {
        return Ok(());
    };
    let rows: Vec<Row> = page
        .items
        .into_iter()
        .map(|host| Row {
            values: vec![
                host.host,
                host.crashes.to_string(),
                host.groups.to_string(),
                host.alone.to_string(),
                format!("{:.1}", host.usual),
                host.executables.to_string(),
                chance(host.p),
                if host.suspect { "suspect" } else { "" }.to_owned(),
            ],
            style: host.suspect.then_some(("Verdict", "31")),
            ..Row::default()
        })
        .collect();
    let format = Format::parse(arguments.format.as_deref());
    LISTING.print(session, &rows, &format, arguments.quiet)?;
    if let (Some(why), Format::Table, false) = (too_little, format, arguments.quiet) {
        writeln!(session.out, "\n{}", visible(&why))?;
    }
    Ok(())
}

/// A probability for people.
pub fn chance(p: f64) -> String {
    if p < 1e-6 {
        "<0.000001".to_owned()
    } else if p < 0.001 {
        format!("{p:.6}")
    } else {
        format!("{p:.3}")
    }
}
