//! Compares the version tags of images, where they compare.

use std::cmp::Ordering;

/// The most digits of one number: more is a hash.
const MOST_DIGITS: usize = 14;
/// What comes before the release of the same numbers.
const BEFORE_RELEASE: [&str; 7] = ["alpha", "beta", "rc", "pre", "preview", "dev", "snapshot"];

/// A tag such as `v1.4.2-rc.1`, `2026.11.20` or `1.4-alpine`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    numbers: Vec<u64>,
    suffix: String,
}

impl Version {
    fn parse(tag: &str) -> Option<Self> {
        let bare = tag.strip_prefix(['v', 'V']).unwrap_or(tag);
        let end = bare.find(['-', '+', '_']).unwrap_or(bare.len());
        let (numbers, suffix) = bare.split_at_checked(end)?;
        let number = |text: &str| {
            let fits = text.len() <= MOST_DIGITS && text.bytes().all(|b| b.is_ascii_digit());
            fits.then(|| text.parse().ok()).flatten()
        };
        Some(Self {
            numbers: numbers.split('.').map(number).collect::<Option<_>>()?,
            suffix: suffix.trim_start_matches(['-', '+', '_']).to_lowercase(),
        })
    }

    /// `rc.2` of `1.4-rc.2`: the word's place among those before a release, and its number.
    fn before_release(&self) -> Option<(usize, u64)> {
        let word: String = self
            .suffix
            .chars()
            .take_while(char::is_ascii_alphabetic)
            .collect();
        let place = BEFORE_RELEASE.iter().position(|known| *known == word)?;
        let rest = self.suffix.get(word.len()..).unwrap_or_default();
        let number: String = rest
            .trim_start_matches(['.', '-'])
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        Some((place, number.parse().unwrap_or(0)))
    }
}

/// How the version `tag` lies to `mark`. `None` when either is no version, or `tag` is less exact:
/// `1.4` may be 1.4.0 or 1.4.7. Variants such as `1.4-alpine` count as the version they are of.
pub(crate) fn compare(tag: &str, mark: &str) -> Option<Ordering> {
    let (tag, mark) = (Version::parse(tag)?, Version::parse(mark)?);
    let differing = tag
        .numbers
        .iter()
        .zip(&mark.numbers)
        .map(|(a, b)| a.cmp(b))
        .find(|order| order.is_ne());
    if let Some(order) = differing {
        return Some(order);
    }
    match tag.numbers.len().cmp(&mark.numbers.len()) {
        Ordering::Less => None,
        Ordering::Greater => Some(Ordering::Greater),
        Ordering::Equal => Some(match (tag.before_release(), mark.before_release()) {
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(tag), Some(mark)) => tag.cmp(&mark),
            (None, None) => Ordering::Equal,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_compare_where_they_are_versions_of_one_kind() {
        use Ordering::{Equal, Greater, Less};
        for (tag, mark, expected) in [
            ("1.4.2", "1.4.2", Some(Equal)),
            ("v1.10", "1.9", Some(Greater)),
            ("1.4.1", "1.4.2", Some(Less)),
            ("1.4.2", "1.4", Some(Greater)),
            ("1.4", "1.4.2", None),
            ("1.5", "1.4.2", Some(Greater)),
            ("1.4.0-rc1", "1.4.0", Some(Less)),
            ("1.4.0", "1.4.0-rc.1", Some(Greater)),
            ("1.4.0-rc.10", "1.4.0-rc2", Some(Greater)),
            ("1.4.0-beta3", "1.4.0-rc1", Some(Less)),
            ("1.4-alpine", "1.4-slim", Some(Equal)),
            ("20261121", "20261120", Some(Greater)),
            ("latest", "1.4", None),
            ("1.4", "main", None),
            ("deadbeef", "deadbee0", None),
            ("1..2", "1.2", None),
            ("", "1", None),
            ("99999999999999999999", "1", None),
        ] {
            assert_eq!(compare(tag, mark), expected, "{tag} {mark}");
        }
    }
}
