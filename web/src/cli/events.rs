//! `events`: what happens to dumps, as it happens, and what happened before.

use super::listing::{Field, Listing, Row};
use super::ls;
use super::moment;
use super::narrowing::checked_filter;
use super::session::{Failure, Session};
use super::template::Format;
use super::text::visible;
use crate::api::events::EventMessage;
use crate::client::{ClientError, encode};
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

/// The longest line of a stream that is taken in, bytes.
const LONGEST_LINE: usize = 4 << 20;
/// How long to wait before a broken connection is made anew; twice as long each time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Flags of `events`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only of dumps that match, such as image=api*, signal=SIGSEGV, label=k=v
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<String>,
    /// Begin with what happened since a time (2026-11-20T15:04) or duration back (24h)
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// End at a time; without it events are followed until you interrupt
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Format output: json, or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Query: field:value terms and words, such as image:api* panic
    #[arg(value_name = "QUERY")]
    words: Vec<String>,
}

/// What templates may name.
const LISTING: Listing = Listing {
    fields: &[
        field("ID"),
        field("Time"),
        field("Action"),
        field("Group"),
        field("NewGroup"),
        field("Container"),
        field("Image"),
        field("Signal"),
        field("Cause"),
        field("Host"),
    ],
    columns: &[],
};

const fn field(name: &'static str) -> Field {
    Field { name, header: "" }
}

/// Prints events until `--until`, or for ever.
pub async fn run(arguments: Arguments, session: &mut Session) -> Result<(), Failure> {
    let format = Format::parse(arguments.format.as_deref());
    if matches!(format, Format::TableOf(_)) {
        return Err(Failure::Message(
            "events come one at a time and make no table: use json or a template".to_owned(),
        ));
    }
    let parameters = parameters(&arguments)?;
    let mut after: Option<String> = None;
    let mut wait = FIRST_WAIT;
    loop {
        let place = after.as_ref().map(|id| format!("after={}", encode(id)));
        let target = format!(
            "/api/v1/events?{}",
            place
                .iter()
                .chain(&parameters)
                .cloned()
                .collect::<Vec<_>>()
                .join("&")
        );
        let ended = match follow(&target, &mut after, &format, session).await {
            // Only what has an end ends well.
            Ok(()) if arguments.until.is_some() => return Ok(()),
            Ok(()) => "the daemon stopped".to_owned(),
            Err(Failure::Client(
                error @ (ClientError::Unreachable { .. } | ClientError::Broken { .. }),
            )) if after.is_some() => error.to_string(),
            Err(failure) => return Err(failure),
        };
        session.complain(&format!("{ended}; trying again in {} s", wait.as_secs()));
        let before = after.clone();
        tokio::time::sleep(wait).await;
        wait = if before == after {
            (wait * 2).min(LONGEST_WAIT)
        } else {
            FIRST_WAIT
        };
    }
}

fn parameters(arguments: &Arguments) -> Result<Vec<String>, Failure> {
    let mut parameters = Vec::new();
    let (now, zone) = (jiff::Timestamp::now(), jiff::tz::TimeZone::system());
    for (name, text) in [("since", &arguments.since), ("until", &arguments.until)] {
        if let Some(text) = text {
            let time = moment::parse(text, now, &zone)
                .map_err(|error| Failure::Message(format!("--{name}: {error}")))?;
            parameters.push(format!("{name}={}", encode(&format!("{time:.3}"))));
        }
    }
    if !arguments.words.is_empty() {
        parameters.push(format!("query={}", encode(&arguments.words.join(" "))));
    }
    for filter in &arguments.filters {
        parameters.push(format!("filter={}", encode(&checked_filter(filter)?)));
    }
    Ok(parameters)
}

/// Prints one stream to its end; `after` becomes the id of its last message.
async fn follow(
    target: &str,
    after: &mut Option<String>,
    format: &Format,
    session: &mut Session,
) -> Result<(), Failure> {
    let mut stream = session.client.stream(target).await?;
    let mut lines = Lines::default();
    let mut message = Message::default();
    while let Some(piece) = session.client.piece(&mut stream).await? {
        lines.add(&piece);
        if lines.rest.len() > LONGEST_LINE {
            return Err(Failure::Message(
                "the daemon sent an endless line".to_owned(),
            ));
        }
        while let Some(line) = lines.cut() {
            if !line.is_empty() {
                message.read(&line);
                continue;
            }
            let whole = std::mem::take(&mut message);
            if let Some(id) = whole.id {
                *after = Some(id);
            }
            match (whole.event.as_str(), whole.data) {
                ("reset", _) => session.complain("some events have been forgotten"),
                (_, Some(data)) => {
                    let event = serde_json::from_str(&data).map_err(anyhow::Error::from)?;
                    print(&event, &data, format, session)?;
                }
                _ => {}
            }
        }
        session.flush()?;
    }
    Ok(())
}

/// Text in pieces, cut into lines.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn add(&mut self, piece: &[u8]) {
        self.rest.extend_from_slice(piece);
    }

    fn cut(&mut self) -> Option<String> {
        let end = self.rest.iter().position(|&byte| byte == b'\n')?;
        let line: Vec<u8> = self.rest.drain(..=end).collect();
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        Some(String::from_utf8_lossy(line).into_owned())
    }
}

/// One message of a stream (WHATWG HTML, server-sent events): our daemon puts data on one line.
#[derive(Default)]
struct Message {
    id: Option<String>,
    event: String,
    data: Option<String>,
}

impl Message {
    fn read(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match name {
            "id" => self.id = Some(value),
            "event" => self.event = value,
            "data" => self.data = Some(value),
            // Comments keep the connection alive.
            _ => {}
        }
    }
}

fn print(
    event: &EventMessage,
    json: &str,
    format: &Format,
    session: &mut Session,
) -> Result<(), Failure> {
    match format {
        Format::Json => writeln!(session.out, "{}", super::text::visible_json(json))?,
        Format::Template(_) => LISTING.print(session, &[row(event)], format, false)?,
        Format::Table | Format::TableOf(_) => writeln!(session.out, "{}", visible(&line(event)))?,
    }
    Ok(())
}

/// `TIME dump ACTION ID (k=v, …)`, as `docker events` writes them.
fn line(event: &EventMessage) -> String {
    let row = row(event);
    let named = LISTING.fields.iter().zip(&row.values).skip(3);
    let mut attributes: Vec<String> = named
        .filter(|(_, value)| !value.is_empty())
        .map(|(field, value)| format!("{}={value}", field.name.to_lowercase()))
        .collect();
    attributes.sort_unstable();
    let mut line = format!("{} dump {} {}", time(event.at_ms), action(event), event.id);
    if !attributes.is_empty() {
        // Writing to a String cannot fail.
        let _ = write!(line, " ({})", attributes.join(", "));
    }
    line
}

fn row(event: &EventMessage) -> Row {
    let mut values = vec![
        event.id.clone(),
        time(event.at_ms),
        action(event).to_owned(),
        event.group.clone().unwrap_or_default(),
        if event.new {
            "true".to_owned()
        } else {
            String::new()
        },
    ];
    let mut labels = std::collections::BTreeMap::new();
    if let Some(dump) = event.dump.clone() {
        let shown = ls::row(dump, event.at_ms, true);
        let names = ls::LISTING.fields.iter().map(|field| field.name);
        let mut shown_by_name: std::collections::HashMap<_, _> = names.zip(shown.values).collect();
        for name in ["Container", "Image", "Signal", "Cause", "Host"] {
            values.push(shown_by_name.remove(name).unwrap_or_default());
        }
        labels = shown.labels;
    }
    values.resize(LISTING.fields.len(), String::new());
    Row {
        values,
        labels,
        style: None,
    }
}

/// What happened, in a word of the past.
fn action(event: &EventMessage) -> &str {
    match event.kind.as_str() {
        "dump" => "captured",
        "report" => "analyzed",
        "memory" => "reduced",
        other => other,
    }
}

/// As Docker writes them, in the local zone.
fn time(at_ms: i64) -> String {
    let Ok(time) = jiff::Timestamp::from_millisecond(at_ms) else {
        return at_ms.to_string();
    };
    let local = time.to_zoned(jiff::tz::TimeZone::system());
    let text = local.strftime("%Y-%m-%dT%H:%M:%S.%9f%:z").to_string();
    text.replace("+00:00", "Z")
}
