//! Judges whether a crash of a resolved group is a regression, and says by what.
//!
//! Pure: who calls it looks up when images were first seen.

use super::change::ImageMark;
use super::version;
use std::cmp::Ordering;

/// The image of a crash, or the one a group is resolved in, with what is known of its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) mark: ImageMark,
    /// When a crash first showed this build, milliseconds since the epoch; `None`: none did.
    pub(crate) first_seen_ms: Option<i64>,
}

/// What the group's resolution says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolution {
    pub(crate) at_ms: i64,
    /// In which image; `None`: everywhere.
    pub(crate) image: Option<Seen>,
}

/// What a crash after the resolution means, with the reason for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It came back.
    Regressed(String),
    /// It is an older image, where it was to be expected.
    Expected,
    /// There is no telling the images' order.
    Unknown,
}

/// Judges a crash. One that happened before the resolution is never a regression.
pub(crate) fn judge(
    resolution: &Resolution,
    crashed_at_ms: i64,
    image: Option<&Seen>,
) -> Judgement {
    if crashed_at_ms <= resolution.at_ms {
        return Judgement::Expected;
    }
    let Some(fixed) = &resolution.image else {
        return Judgement::Regressed("it crashed after it was resolved".to_owned());
    };
    let Some(image) = image else {
        return Judgement::Unknown;
    };
    let (crashed, mark) = (&image.mark, &fixed.mark);
    if repository(&crashed.reference) != repository(&mark.reference) {
        return Judgement::Unknown;
    }
    if mark.build.is_some() && mark.build == crashed.build {
        return Judgement::Regressed(format!(
            "it crashed in the very image it was resolved in, {}",
            crashed.reference
        ));
    }
    by_version(crashed, mark).unwrap_or_else(|| by_age(image, fixed, resolution.at_ms))
}

fn by_version(crashed: &ImageMark, mark: &ImageMark) -> Option<Judgement> {
    let (tag, fixed) = (tag(&crashed.reference)?, tag(&mark.reference)?);
    Some(match version::compare(tag, fixed)? {
        Ordering::Less => Judgement::Expected,
        Ordering::Equal => Judgement::Regressed(format!(
            "it crashed in version {tag}, in which it was resolved, judged by the tags"
        )),
        Ordering::Greater => Judgement::Regressed(format!(
            "it crashed in version {tag}, later than {fixed}, judged by the tags"
        )),
    })
}

/// A build that crashed before the one the group is resolved in, or, when that never crashed,
/// before the resolution, is older.
fn by_age(crashed: &Seen, fixed: &Seen, resolved_at_ms: i64) -> Judgement {
    let Some(first_seen) = crashed.first_seen_ms else {
        return Judgement::Unknown;
    };
    let (since, what) = match fixed.first_seen_ms {
        Some(at) if fixed.mark.build.is_some() => (at, "the one it was resolved in"),
        _ => (resolved_at_ms, "the resolution"),
    };
    if first_seen > since {
        Judgement::Regressed(format!(
            "it crashed in {}, an image first seen after {what}, judged by when images were first seen",
            crashed.mark.reference
        ))
    } else {
        Judgement::Expected
    }
}

/// `shop/api` of `shop/api:1.4@sha256:…`.
pub(crate) fn repository(reference: &str) -> &str {
    split(reference).0
}

/// `1.4` of `shop/api:1.4`.
fn tag(reference: &str) -> Option<&str> {
    split(reference).1
}

fn split(reference: &str) -> (&str, Option<&str>) {
    let name = reference
        .split_once('@')
        .map_or(reference, |(name, _)| name);
    // A colon before a slash is a port's.
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(reference: &str, build: &str, first_seen_ms: i64) -> Seen {
        Seen {
            mark: ImageMark {
                reference: reference.to_owned(),
                build: Some(build.to_owned()).filter(|build| !build.is_empty()),
            },
            first_seen_ms: Some(first_seen_ms).filter(|at| *at > 0),
        }
    }

    /// Resolved at 1000; the crash is at 2000.
    fn check(fixed: Option<Seen>, crashed: Option<&Seen>, expected: &str) {
        let resolution = Resolution {
            at_ms: 1000,
            image: fixed,
        };
        let judged = match judge(&resolution, 2000, crashed) {
            Judgement::Regressed(why) => why,
            Judgement::Expected => "expected".to_owned(),
            Judgement::Unknown => "unknown".to_owned(),
        };
        assert!(judged.contains(expected), "{judged}");
    }

    #[test]
    fn a_plain_resolution_ends_with_any_later_crash() {
        check(None, None, "after it was resolved");
        let resolution = Resolution {
            at_ms: 1000,
            image: None,
        };
        assert_eq!(judge(&resolution, 1000, None), Judgement::Expected);
    }

    #[test]
    fn tags_decide_where_they_are_versions() {
        let fixed = || Some(seen("r.io:5000/api:1.4", "", 0));
        check(
            fixed(),
            Some(&seen("r.io:5000/api:1.3", "x", 1999)),
            "expected",
        );
        check(
            fixed(),
            Some(&seen("r.io:5000/api:1.4", "x", 1)),
            "in which it was resolved",
        );
        check(
            fixed(),
            Some(&seen("r.io:5000/api:1.5", "x", 1)),
            "later than 1.4, judged by the tags",
        );
    }

    #[test]
    fn first_sight_decides_where_tags_do_not() {
        let fixed = || Some(seen("api:main", "b", 500));
        check(fixed(), Some(&seen("api:main", "b", 500)), "the very image");
        check(fixed(), Some(&seen("api:main", "a", 400)), "expected");
        check(
            fixed(),
            Some(&seen("api:main", "c", 600)),
            "first seen after the one",
        );
        let unseen = || Some(seen("api:main", "", 0));
        check(unseen(), Some(&seen("api:main", "c", 900)), "expected");
        check(
            unseen(),
            Some(&seen("api:main", "c", 1900)),
            "first seen after the resolution",
        );
    }

    #[test]
    fn what_does_not_compare_is_not_judged() {
        let fixed = || Some(seen("api:1.4", "", 0));
        check(fixed(), None, "unknown");
        check(fixed(), Some(&seen("other:1.5", "x", 1)), "unknown");
        check(fixed(), Some(&seen("api:main", "x", 0)), "unknown");
    }
}
