//! Matches names against patterns with `*` (any text) and `?` (any character), as a shell does
//! with file names, except that `*` crosses slashes: `shop/*` is every image of that registry path.

/// Whether the whole of `text` matches `pattern`. Takes time proportional to the product of
/// their lengths at worst; both are bounded by those who call.
pub fn matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut next) = (0usize, 0usize);
    // Where to go on when a `*` must take one character more: behind the star, and in the text.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(next), text.get(at)) {
            (None, None) => return true,
            (Some('*'), _) => {
                next = next.saturating_add(1);
                retry = Some((next, at));
            }
            (Some(wanted), Some(found)) if *wanted == '?' || wanted == found => {
                (next, at) = (next.saturating_add(1), at.saturating_add(1));
            }
            _ => match retry.filter(|(_, from)| *from < text.len()) {
                Some((behind, from)) => {
                    (next, at) = (behind, from.saturating_add(1));
                    retry = Some((behind, at));
                }
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "any/thing", true),
            ("shop/*", "shop/api:1", true),
            ("shop/*", "shops/api", false),
            ("*api*", "shop/api:1", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*c", "xaxbxbxc", true),
            ("*a*b*c", "xaxcxb", false),
            ("ü*", "üx", true),
            ("a**b", "ab", true),
            ("*.so", "x.so.6", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_end_soon() {
        let pattern = "*a".repeat(100);
        assert!(!matches(&pattern, &"ab".repeat(50)));
    }
}
