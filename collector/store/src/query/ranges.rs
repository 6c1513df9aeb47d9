//! Reads numbers, sizes, durations and points in time, and ranges of them.

use super::fields::Values;
use super::language::Span;
use super::time;

/// The span a text means: `5`, `>5`, `>=5`, `<5`, `<=5`, `5..10`. A point in time alone means
/// from then on, as `since:` does.
pub(super) fn parse(kind: Values, text: &str, now_ms: i64) -> Option<Span> {
    let value = |text: &str| value(kind, text.trim(), now_ms);
    let (from, to) = if let Some((from, to)) = text.split_once("..") {
        let from = if from.is_empty() {
            i64::MIN
        } else {
            value(from)?
        };
        let to = if to.is_empty() { i64::MAX } else { value(to)? };
        (from, to)
    } else if let Some(text) = text.strip_prefix(">=") {
        (value(text)?, i64::MAX)
    } else if let Some(text) = text.strip_prefix('>') {
        (value(text)?.checked_add(1)?, i64::MAX)
    } else if let Some(text) = text.strip_prefix("<=") {
        (i64::MIN, value(text)?)
    } else if let Some(text) = text.strip_prefix('<') {
        (i64::MIN, value(text)?.checked_sub(1)?)
    } else {
        let value = value(text)?;
        let to = if kind == Values::TimeRange {
            i64::MAX
        } else {
            value
        };
        (value, to)
    };
    Some(Span { from, to })
}

/// What a field of this kind takes, for people.
pub(super) fn expected(kind: Values) -> &'static str {
    match kind {
        Values::Size => "a size or a range (>64MiB, 1GiB..4GiB)",
        Values::Duration => "a duration or a range (>50ms, 10ms..1s)",
        Values::TimeRange => {
            "a time, a duration back or a range (24h, <7d, 2026-11-01..2026-11-20)"
        }
        _ => "a whole number or a range (4711, >100, 10..20)",
    }
}

fn value(kind: Values, text: &str, now_ms: i64) -> Option<i64> {
    match kind {
        Values::Size => size(text),
        Values::Duration => time::duration_us(text),
        Values::TimeRange => time::parse(text, now_ms),
        _ => text.parse().ok(),
    }
}

/// `512`, `64MiB`, `1.5GB`: bytes.
fn size(text: &str) -> Option<i64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end)?;
    let scale: i64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "kib" => 1 << 10,
        "m" | "mb" => 1_000_000,
        "mib" => 1 << 20,
        "g" | "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        "t" | "tb" => 1_000_000_000_000,
        "tib" => 1 << 40,
        _ => return None,
    };
    time::scaled(number, scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    #[track_caller]
    fn check(kind: Values, text: &str, expected: Option<(i64, i64)>) {
        let span = parse(kind, text, NOW).map(|span| (span.from, span.to));
        assert_eq!(span, expected, "{text}");
    }

    #[test]
    fn ranges() {
        let (least, most) = (i64::MIN, i64::MAX);
        check(Values::Number, "5", Some((5, 5)));
        check(Values::Number, "-5", Some((-5, -5)));
        check(Values::Number, ">5", Some((6, most)));
        check(Values::Number, ">=5", Some((5, most)));
        check(Values::Number, "<5", Some((least, 4)));
        check(Values::Number, "<=5", Some((least, 5)));
        check(Values::Number, "5..10", Some((5, 10)));
        check(Values::Number, "5..", Some((5, most)));
        check(Values::Number, "..10", Some((least, 10)));
        check(Values::Size, ">64MiB", Some(((64 << 20) + 1, most)));
        check(Values::Size, "1.5GB", Some((1_500_000_000, 1_500_000_000)));
        check(Values::Size, "1KiB..1MiB", Some((1024, 1 << 20)));
        check(Values::Duration, ">50ms", Some((50_001, most)));
        check(Values::Duration, "1s", Some((1_000_000, 1_000_000)));
        check(Values::TimeRange, "24h", Some((NOW - 86_400_000, most)));
        check(
            Values::TimeRange,
            "<7d",
            Some((least, NOW - 7 * 86_400_000 - 1)),
        );
        for wrong in [
            "",
            ">",
            "x",
            "5..x",
            "1..2..3",
            "99999999999999999999",
            ">9223372036854775807",
        ] {
            check(Values::Number, wrong, None);
        }
        for wrong in ["", "MiB", "1XB", "1.5.5", "99999999999TiB"] {
            check(Values::Size, wrong, None);
        }
        for wrong in ["", "5", "5x"] {
            check(Values::Duration, wrong, None);
        }
    }
}
