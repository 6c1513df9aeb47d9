//! Finds the word somebody meant.

/// The candidate nearest to what was typed, when it is near at all.
pub(super) fn nearest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Longer than any field name plus its typing errors: not worth comparing.
    if typed.len() > 32 {
        return None;
    }
    let allowed = (typed.chars().count() / 2).clamp(1, 2);
    candidates
        .into_iter()
        .map(|candidate| (distance(typed, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance: insertions, deletions and replacements between two words.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.chars().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(x != y);
            diagonal = *cell;
            left = replaced.min(*cell + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_typing_errors_and_nothing_far() {
        let fields = ["signal", "since", "image", "host"];
        for (typed, expected) in [
            ("signall", Some("signal")),
            ("sgnal", Some("signal")),
            ("imgae", Some("image")),
            ("hots", Some("host")),
            ("hosts", Some("host")),
            ("http", None),
            ("", None),
            ("std", None),
        ] {
            assert_eq!(nearest(typed, fields), expected, "{typed}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
