//! Puts a notice into words and into a `CloudEvents` envelope. What crashed is hostile: texts are
//! short, on one line, and never more than text.

use aground_helper::text::escape_bytes;
use aground_store::Store;
use aground_store::notices::{Notice, NoticeKind};
use aground_store::store::Histogram;
use aground_store::types::{DumpSummary, GroupSummary};
use serde_json::{Value, json};

/// The most bytes of any one text.
const LONGEST: usize = 300;

/// The event as it is sent, the same for every target and every attempt.
pub(super) fn compose(store: &Store, notice: &Notice, host: &str, url: Option<&str>) -> Value {
    let none = Histogram {
        now_ms: 0,
        window_ms: 0,
        buckets: 0,
    };
    let group = notice
        .group
        .as_ref()
        .and_then(|id| store.group(id, none).ok());
    let dump = notice.dump.as_ref().and_then(|id| {
        let id = id.parse().ok()?;
        store.dump(&id).ok().map(|dump| dump.summary)
    });
    let link = url.map(|url| {
        let url = url.trim_end_matches('/');
        match &notice.group {
            Some(group) => format!("{url}/groups/{group}"),
            None => format!("{url}/status"),
        }
    });
    let text = text(notice, group.as_ref(), dump.as_ref(), host);
    json!({
        "specversion": "1.0",
        "id": format!("{}-{}", notice.at_ms, notice.key),
        "source": format!("/aground/{}", path_segment(host)),
        "type": format!("aground.{}", notice.kind.as_str()),
        "time": time(notice.at_ms),
        "subject": notice.group.as_deref().or(notice.dump.as_deref()).unwrap_or("store"),
        "datacontenttype": "application/json",
        "data": {
            "kind": notice.kind.as_str(),
            "text": text,
            "why": notice.why.as_deref().map(line),
            "host": line(host),
            "link": link,
            "group": group.as_ref().map(of_group),
            "dump": dump.as_ref().map(of_dump),
        }
    })
}

fn of_group(group: &GroupSummary) -> Value {
    json!({
        "id": group.id,
        "title": line(&group.title),
        "cause": line(&group.cause_title),
        "cause_kind": line(&group.cause),
        "state": group.state.as_str(),
        "count": group.count,
        "first_seen": time(group.first_seen_ms),
        "last_seen": time(group.last_seen_ms),
        "images": group.images.iter().take(5).map(|image| line(&image.value)).collect::<Vec<_>>(),
        "owner": group.owner,
        "tags": group.tags,
        "tickets": group.tickets,
    })
}

fn of_dump(dump: &DumpSummary) -> Value {
    let container = dump.container.as_ref();
    let part = |value: Option<&String>| value.map(|text| line(text));
    json!({
        "id": dump.id,
        "crashed_at": time(dump.crashed_at_ms),
        "host": line(&dump.host),
        "signal": line(&dump.signal),
        "executable": part(dump.executable.as_ref()),
        "container": part(container.and_then(|it| it.name.as_ref())),
        "image": part(container.and_then(|it| it.image.as_ref())),
        "namespace": part(container.and_then(|it| it.namespace.as_ref())),
        "pod": part(container.and_then(|it| it.pod.as_ref())),
        "unit": part(dump.unit.as_ref()),
    })
}

/// One sentence for people.
fn text(
    notice: &Notice,
    group: Option<&GroupSummary>,
    dump: Option<&DumpSummary>,
    host: &str,
) -> String {
    let what = group.map_or_else(
        || notice.group.clone().unwrap_or_default(),
        |group| format!("{} ({})", line(&group.cause_title), line(&group.title)),
    );
    let place = dump.map(place).unwrap_or_default();
    let why = notice.why.as_deref().map(line);
    let why = why.as_deref().unwrap_or("no reason is known");
    match notice.kind {
        NoticeKind::NewGroup => format!("New crash{place}: {what}"),
        NoticeKind::Regression => format!("Regression{place}: {what}: {why}"),
        NoticeKind::Spike => format!("Spike{place}: {what}: {why}"),
        NoticeKind::LoopStarted => format!("Crash loop on {}: {why}", line(host)),
        NoticeKind::LoopStopped => format!("Crash loop ended on {}: {why}", line(host)),
        NoticeKind::StorageTrouble => format!("Storage trouble on {}: {why}", line(host)),
        NoticeKind::StorageRecovered => {
            format!("Storage recovered on {}: it was: {why}", line(host))
        }
        NoticeKind::Test => format!("Test message from Aground on {}", line(host)),
    }
}

fn place(dump: &DumpSummary) -> String {
    let container = dump.container.as_ref();
    let image = container.and_then(|it| it.image.as_ref());
    let name = container
        .and_then(|it| it.name.as_ref())
        .or(dump.unit.as_ref())
        .unwrap_or(&dump.name);
    let image = image.map(|image| format!(", image {}", line(image)));
    format!(" in {}{}", line(name), image.unwrap_or_default())
}

/// Bounded, on one line, nothing that steers a terminal or a chat.
fn line(text: &str) -> String {
    let flat: String = text
        .chars()
        .map(|c| {
            if c.is_control() || is_invisible(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    escape_bytes(flat.as_bytes(), LONGEST)
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn path_segment(host: &str) -> String {
    host.chars()
        .take(100)
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') {
                c
            } else {
                '_'
            }
        })
        .collect()
}

fn time(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .unwrap_or_default()
        .to_string()
}

/// The same event as Slack takes it: one text, in which `<`, `>` and `&` are not its own.
pub(super) fn slack(event: &Value) -> Value {
    let part = |name: &str| event["data"][name].as_str().unwrap_or_default();
    let escaped = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let link = part("link");
    let link = if link.is_empty() {
        String::new()
    } else {
        format!("\n{}", escaped(link))
    };
    json!({ "text": format!("{}{link}", escaped(part("text"))) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_texts_stay_texts() {
        let event = json!({ "data": { "text": "New crash in <!channel> a&b", "link": "http://x/groups/1" } });
        assert_eq!(
            slack(&event)["text"],
            "New crash in &lt;!channel&gt; a&amp;b\nhttp://x/groups/1"
        );
        assert_eq!(line("a\nb\u{202e}c"), "a\u{fffd}b\u{fffd}c");
        assert!(line(&"x".repeat(9999)).len() < 310);
        assert_eq!(path_segment("a/b c"), "a_b_c");
    }
}
