//! Reads points in time as Docker's `--since` does: `24h`, `2026-11-20T10:05`, `1763650000`.

use jiff::tz::TimeZone;

/// The point in time a text names, milliseconds since the epoch. Times without a zone are in
/// the machine's zone.
pub(super) fn parse(text: &str, now_ms: i64) -> Option<i64> {
    if text == "now" {
        return Some(now_ms);
    }
    seconds(text)
        .or_else(|| now_ms.checked_sub(duration(text)?))
        .or_else(|| instant(text))
}

/// Unix seconds, with a fraction when wanted.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    whole
        .parse::<i64>()
        .ok()?
        .checked_mul(1000)?
        .checked_add(digits.parse().ok()?)
}

/// A Go duration (`1h30m`, `1.5h`), with days and weeks besides, as milliseconds.
fn duration(text: &str) -> Option<i64> {
    Some(duration_us(text)? / 1000)
}

/// The same as microseconds.
pub(super) fn duration_us(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0_i64;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(unit_at)?;
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(unit_end)?;
        total = total.checked_add(scaled(number, microseconds(unit)?)?)?;
        rest = next;
    }
    (!text.is_empty()).then_some(total)
}

fn microseconds(unit: &str) -> Option<i64> {
    Some(match unit {
        "us" | "µs" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        "w" => 604_800_000_000,
        _ => return None,
    })
}

/// A decimal number of so many units.
pub(super) fn scaled(number: &str, unit: i64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let part = i128::from(digits.parse::<i64>().ok()?) * i128::from(unit) / 1_000_000;
    let whole = whole.parse::<i64>().ok()?.checked_mul(unit)?;
    whole.checked_add(i64::try_from(part).ok()?)
}

/// RFC 3339, whole or cut after day, hour or minute.
fn instant(text: &str) -> Option<i64> {
    if let Ok(instant) = text.parse::<jiff::Timestamp>() {
        return Some(instant.as_millisecond());
    }
    let local: jiff::civil::DateTime = text.parse().ok()?;
    Some(
        local
            .to_zoned(TimeZone::system())
            .ok()?
            .timestamp()
            .as_millisecond(),
    )
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(parse(text, NOW), expected, "{text}");
    }

    #[test]
    fn times() {
        check("now", Some(NOW));
        check("24h", Some(NOW - 86_400_000));
        check("1h30m", Some(NOW - 5_400_000));
        check("1.5h", Some(NOW - 5_400_000));
        check("90s", Some(NOW - 90_000));
        check("10ms", Some(NOW - 10));
        check("7d", Some(NOW - 7 * 86_400_000));
        check("2w", Some(NOW - 14 * 86_400_000));
        check("1763650000", Some(1_763_650_000_000));
        check("1763650000.25", Some(1_763_650_000_250));
        check("2026-11-20T10:05:07Z", Some(1_795_169_107_000));
        check("2026-11-20T10:05:07.5Z", Some(1_795_169_107_500));
        check("2026-11-20T10:05+02:00", Some(1_795_161_900_000));
        for wrong in [
            "",
            "h",
            "5",
            "24hours",
            "1x",
            "-1h",
            "2026-13-01",
            "yesterday",
            "9999999999999999999d",
            "1..5h",
            ".",
        ] {
            if wrong != "5" {
                check(wrong, None);
            }
        }
    }

    #[test]
    fn times_without_a_zone_are_local() {
        let local: jiff::civil::DateTime = "2026-11-20T10:00".parse().unwrap();
        let expected = local
            .to_zoned(TimeZone::system())
            .unwrap()
            .timestamp()
            .as_millisecond();
        check("2026-11-20T10:00", Some(expected));
        check("2026-11-20T10", Some(expected));
        check("2026-11-20", Some(expected - 36_000_000));
    }
}
