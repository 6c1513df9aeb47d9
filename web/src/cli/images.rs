//! `images`: builds of images that crashed.

use super::groups::sparkline;
use super::human;
use super::listing::{Field, Listing, Paged, Row, walk};
use super::narrowing::Narrowing;
use super::session::{Failure, Session};
use super::template::Format;
use super::text::ellipsis;
use crate::api::overview::ImagePage;
use aground_store::image_builds::ImageBuild;
use aground_store::types::Page;
use std::io::Write;

/// Flags of `images`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    narrowing: Narrowing,
    /// Only display references
    #[arg(short, long)]
    quiet: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Format output: table, table TEMPLATE, json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

const LISTING: Listing = Listing {
    fields: &[
        field("Image", "IMAGE"),
        field("Build", "BUILD"),
        field("Crashes", "CRASHES"),
        field("Groups", "GROUPS"),
        field("Trend", "LAST 30 DAYS"),
        field("FirstSeen", "FIRST SEEN"),
        field("LastSeen", "LAST SEEN"),
        field("Digest", "DIGEST"),
        field("ImageID", "IMAGE ID"),
    ],
    columns: &[
        "Image",
        "Build",
        "Crashes",
        "Groups",
        "Trend",
        "FirstSeen",
        "LastSeen",
    ],
};

const fn field(name: &'static str, header: &'static str) -> Field {
    Field { name, header }
}

impl Paged for ImagePage {
    type Item = ImageBuild;

    fn page(&mut self) -> &mut Page<ImageBuild> {
        &mut self.page
    }
}

/// Lists them, most crashes first.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    let parameters = arguments.narrowing.parameters()?;
    let list = walk::<ImagePage>(session, "/api/v1/images", &parameters, None).await;
    let list = list.map_err(|error| arguments.narrowing.explain(error))?;
    let Some(builds) = list else {
        return Ok(());
    };
    let now = session.now_ms;
    let row = |build| row(build, now, !arguments.no_trunc);
    let rows: Vec<Row> = builds.page.items.into_iter().map(row).collect();
    let format = Format::parse(arguments.format.as_deref());
    LISTING.print(session, &rows, &format, arguments.quiet)?;
    if format != Format::Table || arguments.quiet {
        return Ok(());
    }
    if builds.more > 0 {
        writeln!(session.out, "\n{} more builds", builds.more)?;
    }
    if let Some(cut) = builds.cut {
        writeln!(session.out, "{cut}")?;
    }
    Ok(())
}

fn row(image: ImageBuild, now_ms: i64, truncate: bool) -> Row {
    let build = image.digest.as_deref().or(image.image_id.as_deref());
    let build = build.unwrap_or_default();
    let build = build.rsplit_once('@').map_or(build, |(_, digest)| digest);
    let build = build.strip_prefix("sha256:").unwrap_or(build);
    let build: String = if truncate {
        build.chars().take(12).collect()
    } else {
        build.to_owned()
    };
    let reference = image.image.unwrap_or_default();
    Row {
        values: vec![
            if truncate {
                ellipsis(&reference, 60)
            } else {
                reference
            },
            build,
            image.crashes.to_string(),
            image.groups.to_string(),
            sparkline(&image.trend),
            human::ago(image.first_seen_ms, now_ms),
            human::ago(image.last_seen_ms, now_ms),
            image.digest.unwrap_or_default(),
            image.image_id.unwrap_or_default(),
        ],
        ..Row::default()
    }
}
