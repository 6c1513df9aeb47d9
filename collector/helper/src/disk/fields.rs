//! Takes single fields out of runtimes' JSON, bounded.

use crate::text::escape_bytes;
use serde_json::Value;
use std::collections::BTreeMap;

/// Longest text kept of a field.
pub(super) const MAX_FIELD: usize = 4096;
/// Longest label kept, and most labels.
const MAX_LABEL: usize = 64 * 1024;
const MAX_LABELS: usize = 1024;

/// The text at a JSON pointer; `None` when it is empty or no text.
pub(super) fn text(value: &Value, pointer: &str) -> Option<String> {
    value.pointer(pointer)?.as_str().and_then(bounded)
}

/// A text of bounded length, if there is any.
pub(super) fn bounded(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| escape_bytes(text.as_bytes(), MAX_FIELD))
}

/// A JSON object of texts as labels.
pub(super) fn labels(value: Option<&Value>) -> BTreeMap<String, String> {
    let Some(labels) = value.and_then(Value::as_object) else {
        return BTreeMap::new();
    };
    let texts = labels
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    label_map(texts)
}

/// Pairs as labels, each of bounded length, and not too many.
pub(super) fn label_map<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> BTreeMap<String, String> {
    pairs
        .take(MAX_LABELS)
        .map(|(name, value)| {
            (
                escape_bytes(name.as_bytes(), MAX_FIELD),
                escape_bytes(value.as_bytes(), MAX_LABEL),
            )
        })
        .collect()
}

/// The image reference without tag and digest. A colon before the last slash is a port's.
pub(super) fn repository(image: &str) -> &str {
    let name = image.split('@').next().unwrap_or(image);
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_cut_from_references() {
        let cases = [
            ("shop:1", "shop"),
            ("shop", "shop"),
            ("r:5000/shop", "r:5000/shop"),
            ("r:5000/s:1@sha256:a", "r:5000/s"),
        ];
        for (image, expected) in cases {
            assert_eq!(repository(image), expected);
        }
    }
}
