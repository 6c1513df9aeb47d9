//! Writes times and sizes in the words Docker uses (docker/go-units).

/// `About a minute`, `3 hours`, … as `units.HumanDuration`. Negative spans count as nothing.
pub fn duration(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    let minutes = seconds / 60;
    // Hours are rounded to the nearest, days and more follow from the rounded hours.
    let hours = (seconds + 1800) / 3600;
    match (seconds, minutes, hours) {
        (..1, ..) => "Less than a second".to_owned(),
        (1, ..) => "1 second".to_owned(),
        (2..60, ..) => format!("{seconds} seconds"),
        (_, 1, _) => "About a minute".to_owned(),
        (_, 2..60, _) => format!("{minutes} minutes"),
        (_, _, 1) => "About an hour".to_owned(),
        (_, _, 2..48) => format!("{hours} hours"),
        (_, _, 48..336) => format!("{} days", hours / 24),
        (_, _, 336..1440) => format!("{} weeks", hours / 24 / 7),
        (_, _, 1440..17520) => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// `5 minutes ago`.
pub fn ago(then_ms: i64, now_ms: i64) -> String {
    format!("{} ago", duration(now_ms.saturating_sub(then_ms)))
}

/// `35.6kB`, `1.2GB`: decimal, three significant digits at most, as `units.HumanSizeWithPrecision(…, 3)`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    #[allow(clippy::cast_precision_loss)] // three digits are shown
    let mut value = bytes as f64;
    let mut unit = 0;
    // 999.5 would show as Go's 1e+03.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{}{}", three_digits(value), UNITS[unit])
}

/// Go's `%.3g` for values from 0 to 999.5.
fn three_digits(value: f64) -> String {
    let decimals = match value {
        _ if value >= 99.95 => 0,
        _ if value >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A time in the local zone as Docker's `CREATED AT`: `2026-11-20 22:21:27 +0000 UTC`.
pub fn local_time(milliseconds: i64) -> String {
    match jiff::Timestamp::from_millisecond(milliseconds) {
        Ok(time) => {
            let zoned = time.to_zoned(jiff::tz::TimeZone::system());
            zoned.strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
        }
        Err(_) => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_dockers_steps() {
        const MINUTE: i64 = 60;
        const HOUR: i64 = 60 * MINUTE;
        const DAY: i64 = 24 * HOUR;
        for (seconds, words) in [
            (-5, "Less than a second"),
            (0, "Less than a second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (59, "59 seconds"),
            (MINUTE, "About a minute"),
            (2 * MINUTE - 1, "About a minute"),
            (3 * MINUTE, "3 minutes"),
            (59 * MINUTE + 59, "59 minutes"),
            (HOUR, "About an hour"),
            (HOUR + 45 * MINUTE, "2 hours"),
            (47 * HOUR, "47 hours"),
            (48 * HOUR, "2 days"),
            (13 * DAY, "13 days"),
            (14 * DAY, "2 weeks"),
            (59 * DAY, "8 weeks"),
            (60 * DAY, "2 months"),
            (729 * DAY, "24 months"),
            (730 * DAY, "2 years"),
        ] {
            assert_eq!(duration(seconds * 1000), words, "{seconds}");
        }
    }

    #[test]
    fn sizes_are_dockers() {
        for (bytes, words) in [
            (0, "0B"),
            (999, "999B"),
            (999_700, "1MB"),
            (1000, "1kB"),
            (35_600, "35.6kB"),
            (315_392, "315kB"),
            (1_200_000_000, "1.2GB"),
            (16_430_000, "16.4MB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(size(bytes), words, "{bytes}");
        }
    }
}
