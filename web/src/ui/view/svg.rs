//! Draws counts over time as bars, values as shares of the greatest, and a whole as its parts.
//!
//! Every picture has a text of its own: a label that says what it shows, and its numbers as a list
//! or in the tooltips.

use super::text;
use super::time::rough;

/// A bar of a [`Bars`] chart, in its own coordinates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    /// Left edge.
    pub x: usize,
    /// Upper edge.
    pub y: u64,
    /// Height.
    pub height: u64,
    /// `12 crashes, up to 3 h ago`.
    pub label: String,
}

/// Counts over time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bars {
    /// The bars that are not empty.
    pub bars: Vec<Bar>,
    /// Width of the drawing: [`STEP`] per bucket.
    pub width: usize,
    /// Sum of all buckets.
    pub total: u64,
    /// `24 h`.
    pub window: &'static str,
    /// What the picture says, for those who do not see it.
    pub label: String,
}

/// Height of every drawing.
pub const HEIGHT: u64 = 32;
/// Distance of two bars.
pub const STEP: usize = 6;

impl Bars {
    /// Draws buckets, oldest first, over a window of so many milliseconds.
    pub fn new(buckets: &[u64], window_ms: i64, window: &'static str) -> Self {
        let greatest = buckets.iter().copied().max().unwrap_or(0).max(1);
        let total = buckets.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
        let bucket_ms = window_ms / i64::try_from(buckets.len().max(1)).unwrap_or(1);
        let bar = |(at, number): (usize, &u64)| {
            // A bar of one crash beside one of a million must still be seen.
            let height = (number.saturating_mul(HEIGHT) / greatest).max(3);
            let age = i64::try_from(buckets.len() - at).unwrap_or(0) * bucket_ms;
            Bar {
                x: at * STEP,
                y: HEIGHT.saturating_sub(height),
                height,
                label: format!(
                    "{}, up to {} ago",
                    text::count(*number, "crash", "crashes"),
                    rough(age)
                ),
            }
        };
        let filled = buckets
            .iter()
            .enumerate()
            .filter(|(_, number)| **number > 0);
        Self {
            bars: filled.map(bar).collect(),
            width: buckets.len() * STEP,
            total,
            window,
            label: format!(
                "{} in the last {window}",
                text::count(total, "crash", "crashes")
            ),
        }
    }
}

/// A value with its share of the greatest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The value.
    pub value: text::Brief,
    /// How often.
    pub count: String,
    /// Percent of the greatest, at least 2.
    pub percent: u64,
    /// The query that finds its crashes.
    pub query: String,
}

/// The values of one field as shares.
pub fn shares(field: &str, counts: &[aground_store::types::Count]) -> Vec<Share> {
    let greatest = counts.iter().map(|c| c.count).max().unwrap_or(0).max(1);
    let share = |count: &aground_store::types::Count| Share {
        value: text::Brief::named(&count.value, 120),
        count: text::grouped(count.count),
        percent: (count.count.saturating_mul(100) / greatest).clamp(2, 100),
        query: text::url(&format!("{field}:{}", text::query_value(&count.value))),
    };
    counts.iter().map(share).collect()
}

/// Width of a drawing of parts.
pub const WIDTH: u64 = 1000;

/// A whole and its parts, side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The parts, in order.
    pub parts: Vec<Part>,
    /// What the picture says, for those who do not see it.
    pub label: String,
}

/// A part of a [`Parts`] drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Class of the style sheet.
    pub class: &'static str,
    /// What it is.
    pub name: &'static str,
    /// How much, in words.
    pub amount: String,
    /// Left edge, of [`WIDTH`].
    pub x: u64,
    /// Width; a part that is not nothing has some.
    pub width: u64,
}

impl Parts {
    /// Draws amounts, whose words `shown` finds.
    pub fn new(
        what: &str,
        amounts: &[(&'static str, &'static str, u64)],
        shown: impl Fn(u64) -> String,
    ) -> Self {
        let sum: u128 = amounts
            .iter()
            .map(|(_, _, amount)| u128::from(*amount))
            .sum();
        let mut x = 0;
        let mut part = |&(class, name, amount): &(&'static str, &'static str, u64)| {
            let exact = u128::from(amount) * u128::from(WIDTH) / sum.max(1);
            let least = u64::from(amount > 0) * 4;
            let width = u64::try_from(exact).unwrap_or(WIDTH).max(least);
            let width = width.min(WIDTH.saturating_sub(x));
            x += width;
            Part {
                class,
                name,
                amount: shown(amount),
                x: x - width,
                width,
            }
        };
        let parts: Vec<Part> = amounts.iter().map(&mut part).collect();
        let words: Vec<String> = parts
            .iter()
            .map(|part| format!("{} {}", part.name, part.amount))
            .collect();
        Self {
            label: format!("{what}: {}", words.join(", ")),
            parts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_stay_inside_and_small_ones_are_seen() {
        let chart = Bars::new(&[0, 1, u64::MAX, 1_000_000], 4000, "4 s");
        assert_eq!(chart.bars.len(), 3);
        assert_eq!(chart.total, u64::MAX);
        for bar in &chart.bars {
            assert!(bar.height >= 1 && bar.y + bar.height <= HEIGHT, "{bar:?}");
            assert!(bar.x < chart.width);
        }
        assert_eq!(Bars::new(&[], 0, "x").bars, []);
    }

    #[test]
    fn parts_lie_side_by_side_and_small_ones_are_seen() {
        let amounts = [("a", "A", u64::MAX), ("b", "B", 1), ("c", "C", 0)];
        let drawn = Parts::new("All", &amounts, |amount| amount.to_string());
        assert_eq!(drawn.label, "All: A 18446744073709551615, B 1, C 0");
        let mut end = 0;
        for part in &drawn.parts {
            assert_eq!(part.x, end, "{drawn:?}");
            end = part.x + part.width;
        }
        assert!(end <= WIDTH, "{drawn:?}");
        let halves = Parts::new("All", &[("a", "A", 5), ("b", "B", 5)], |n| n.to_string());
        assert_eq!(
            halves.parts.iter().map(|p| p.width).collect::<Vec<_>>(),
            [500, 500]
        );
        assert_eq!(Parts::new("All", &[], |n| n.to_string()).parts, []);
        let tiny = Parts::new("All", &[("a", "A", 1), ("b", "B", 1_000_000)], |n| {
            n.to_string()
        });
        assert_eq!(
            tiny.parts.iter().map(|p| p.width).collect::<Vec<_>>(),
            [4, 996]
        );
    }
}
