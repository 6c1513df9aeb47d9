//! Reads `--since` and `--until` as Docker does: a Go duration back from now, a date and time of
//! which the end may be left out, or seconds since the epoch.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The text is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no time: use a duration (10m, 1h30m), a date (2026-11-20, 2026-11-20T15:04:05Z) or Unix seconds"
)]
pub struct InvalidMoment(String);

/// The moment a text means. Dates without a zone are in `zone`.
pub fn parse(text: &str, now: Timestamp, zone: &TimeZone) -> Result<Timestamp, InvalidMoment> {
    let text = text.trim();
    duration(text)
        .and_then(|back| now.checked_sub(back).ok())
        .or_else(|| unix(text))
        .or_else(|| text.parse().ok())
        .or_else(|| local(text, zone))
        .ok_or_else(|| InvalidMoment(text.to_owned()))
}

/// A Go duration: `1h30m`, `-1.5h`, `500ms`; not plain numbers, which are Unix seconds here.
fn duration(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (value, after) = rest.split_at(number);
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        seconds += value.parse::<f64>().ok()? * unit_seconds(unit)?;
        rest = after;
    }
    let signed = if negative { -seconds } else { seconds };
    SignedDuration::try_from_secs_f64(signed).ok()
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1e-9,
        "us" | "µs" | "μs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        // Not Go's, but nobody means anything else by it.
        "d" => 86400.0,
        "w" => 604_800.0,
        _ => return None,
    })
}

/// Seconds since the epoch with at most nine decimals.
fn unix(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

/// `2006-01-02`, `…T15`, `…T15:04`, `…T15:04:05[.9]`, with or without `Z` or an offset.
fn local(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    // jiff wants whole times: give the hour its minutes.
    let (bare, offset) = split_offset(text);
    let whole = match bare.split_once('T') {
        Some((_, time)) if time.len() == 2 => format!("{bare}:00"),
        _ => bare.to_owned(),
    };
    let civil: DateTime = whole.parse().ok()?;
    match offset {
        "" => Some(zone.to_zoned(civil).ok()?.timestamp()),
        _ => format!("{civil}{offset}").parse().ok(),
    }
}

fn split_offset(text: &str) -> (&str, &str) {
    let date = "2006-01-02".len();
    let Some(time) = text.get(date..) else {
        return (text, "");
    };
    match time.find(['Z', '+', '-']) {
        Some(at) => text.split_at(date + at),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn dockers_times() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        for (text, expected) in [
            ("10m", "2026-11-20T11:50:00Z"),
            ("1h30m", "2026-11-20T10:30:00Z"),
            ("1.5h", "2026-11-20T10:30:00Z"),
            ("-1h", "2026-11-20T13:00:00Z"),
            ("24h", "2026-11-19T12:00:00Z"),
            ("7d", "2026-11-13T12:00:00Z"),
            ("1795176000", "2026-11-20T12:00:00Z"),
            ("1795176000.5", "2026-11-20T12:00:00.5Z"),
            ("2026-11-20", "2026-11-19T22:00:00Z"),
            ("2026-11-20Z", "2026-11-20T00:00:00Z"),
            ("2026-11-20T15", "2026-11-20T13:00:00Z"),
            ("2026-11-20T15:04", "2026-11-20T13:04:00Z"),
            ("2026-11-20T15:04:05", "2026-11-20T13:04:05Z"),
            ("2026-11-20T15:04:05.25", "2026-11-20T13:04:05.25Z"),
            ("2026-11-20T15:04Z", "2026-11-20T15:04:00Z"),
            ("2026-11-20T15:04:05+01:00", "2026-11-20T14:04:05Z"),
        ] {
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(parse(text, now, &zone), Ok(expected), "{text}");
        }
        for wrong in [
            "",
            "yesterday",
            "h",
            "1x",
            "2026-13-01",
            "1h30",
            "99999999999999999999",
            "1e400h",
            "ü2026-01-01T",
        ] {
            assert!(parse(wrong, now, &zone).is_err(), "{wrong}");
        }
    }
}
