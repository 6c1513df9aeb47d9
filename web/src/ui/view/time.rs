//! Writes points in time and spans as people read them at night: how long ago, exact on demand.

use jiff::Timestamp;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A point in time, in three ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// `3 min ago`.
    pub ago: String,
    /// For the `datetime` attribute.
    pub machine: String,
    /// `2026-11-20 22:21:27 UTC`.
    pub exact: String,
}

impl Moment {
    /// The moment, seen from `now_ms` (both milliseconds since the epoch).
    pub fn new(at_ms: i64, now_ms: i64) -> Self {
        let Ok(time) = Timestamp::from_millisecond(at_ms) else {
            return Self {
                ago: "at an impossible time".to_owned(),
                ..Self::default()
            };
        };
        Self {
            ago: ago(now_ms.saturating_sub(at_ms)),
            machine: time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            exact: time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        }
    }
}

fn ago(span_ms: i64) -> String {
    match span_ms {
        ..0 => "in the future".to_owned(),
        0..5_000 => "just now".to_owned(),
        _ => format!("{} ago", rough(span_ms)),
    }
}

/// `40 s`, `3 min`, `5 h`, `2 days`.
pub fn rough(span_ms: i64) -> String {
    match span_ms {
        ..MINUTE => format!("{} s", span_ms.max(0) / SECOND),
        MINUTE..HOUR => format!("{} min", span_ms / MINUTE),
        HOUR..DAY => format!("{} h", span_ms / HOUR),
        _ if span_ms < 2 * DAY => "1 day".to_owned(),
        _ => format!("{} days", span_ms / DAY),
    }
}

/// `2 days 3 h`, `3 h 12 min`, `4 min 10 s`, `0.8 s`: two parts.
pub fn span(span_ms: i64) -> String {
    let parts = [(DAY, "d"), (HOUR, "h"), (MINUTE, "min"), (SECOND, "s")];
    let Some(first) = parts.iter().position(|(size, _)| span_ms >= *size) else {
        return format!("{} ms", span_ms.max(0));
    };
    let mut rest = span_ms;
    let mut text = Vec::new();
    for (size, unit) in parts.iter().skip(first).take(2) {
        if rest / size > 0 {
            text.push(format!("{} {unit}", rest / size));
        }
        rest %= size;
    }
    text.join(" ")
}

/// Microseconds as `850 µs`, `12.4 ms` or `1.25 s`.
pub fn short_span(us: u64) -> String {
    #[allow(clippy::cast_precision_loss)] // a few digits are shown
    let value = us as f64;
    match us {
        0..1000 => format!("{us} µs"),
        1000..100_000 => format!("{:.1} ms", value / 1e3),
        100_000..1_000_000 => format!("{:.0} ms", value / 1e3),
        _ => format!("{:.2} s", value / 1e6),
    }
}

/// A time as a runtime wrote it (RFC 3339): to the second, or as it is when it is no time.
pub fn of_runtime(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => text.to_owned(),
    }
}

/// The clock, milliseconds since the epoch.
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_two_parts_at_most() {
        for (ms, expected) in [
            (-5, "in the future"),
            (4_999, "just now"),
            (59_000, "59 s ago"),
            (61_000, "1 min ago"),
            (3_600_000, "1 h ago"),
            (26 * HOUR, "1 day ago"),
            (49 * HOUR, "2 days ago"),
        ] {
            assert_eq!(ago(ms), expected);
        }
        assert_eq!(span(850), "850 ms");
        assert_eq!(span(192 * MINUTE), "3 h 12 min");
        assert_eq!(span(DAY), "1 d");
        assert_eq!(short_span(12_400), "12.4 ms");
        assert_eq!(Moment::new(i64::MAX, 0).ago, "at an impossible time");
        assert_eq!(Moment::new(0, 0).exact, "1970-01-01 00:00:00 UTC");
    }
}
