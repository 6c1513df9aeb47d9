//! Pages of lists that are at hand whole, asked for like those that the database pages: `limit=`
//! and `cursor=`, answered with `items` and `next_cursor`.
//!
//! A cursor is the place of the last item in the order of the list, and not a number of items, so
//! that nothing is passed over or shown twice when items come and go in between.

use aground_store::StoreError;
use aground_store::types::{Page, PageRequest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The page of a list that is in the order of `place`, which is another for each item. `list` names
/// the list: a cursor of another one is none of this.
pub fn page<T, P: Ord + Serialize + DeserializeOwned>(
    list: &str,
    items: Vec<T>,
    place: impl Fn(&T) -> P,
    request: &PageRequest,
) -> Result<Page<T>, StoreError> {
    let after = request.cursor.as_deref().map(|cursor| parse(list, cursor));
    let after = after.transpose()?;
    let mut placed: Vec<(P, T)> = items.into_iter().map(|item| (place(&item), item)).collect();
    placed.sort_by(|one, other| one.0.cmp(&other.0));
    if let Some(after) = after {
        let passed = placed.partition_point(|(place, _)| *place <= after);
        placed.drain(..passed);
    }
    let more = placed.len() > request.size();
    placed.truncate(request.size());
    let last = placed.last().filter(|_| more);
    let next_cursor = last.and_then(|(place, _)| write(list, place));
    Ok(Page {
        items: placed.into_iter().map(|(_, item)| item).collect(),
        next_cursor,
        searched_to_ms: None,
    })
}

fn write<P: Serialize>(list: &str, place: &P) -> Option<String> {
    let json = serde_json::to_vec(&(list, place)).ok()?;
    Some(URL_SAFE_NO_PAD.encode(json))
}

fn parse<P: DeserializeOwned>(list: &str, cursor: &str) -> Result<P, StoreError> {
    let json = URL_SAFE_NO_PAD.decode(cursor).ok();
    let known: Option<(String, P)> = json.and_then(|json| serde_json::from_slice(&json).ok());
    match known {
        Some((known, place)) if known == list => Ok(place),
        _ => Err(StoreError::BadCursor),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::cmp::Reverse;

    type Item = (u32, &'static str);

    fn place(item: &Item) -> (Reverse<u32>, String) {
        (Reverse(item.0), item.1.to_owned())
    }

    fn asked(limit: usize, cursor: Option<String>) -> PageRequest {
        PageRequest { limit, cursor }
    }

    #[test]
    fn all_are_walked_in_order_whatever_comes_and_goes() {
        let mut items = vec![(1, "a"), (3, "b"), (3, "a"), (2, "ü/\"")];
        let first = page("some", items.clone(), place, &asked(2, None)).unwrap();
        assert_eq!(first.items, [(3, "a"), (3, "b")]);
        items.retain(|item| *item != (3, "b"));
        items.push((9, "new"));
        let second = page("some", items.clone(), place, &asked(2, first.next_cursor)).unwrap();
        assert_eq!(second.items, [(2, "ü/\""), (1, "a")]);
        assert_eq!(second.next_cursor, None);
        let one = page("some", items.clone(), place, &asked(1, None)).unwrap();
        let other = page("other", items, place, &asked(1, one.next_cursor));
        assert!(matches!(other, Err(StoreError::BadCursor)));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for cursor in ["d1-2", "é", "W10", "WyJzb21lIiwxXQ", "AAAA"] {
            let refused = page(
                "some",
                vec![(1, "a")],
                place,
                &asked(1, Some(cursor.to_owned())),
            );
            assert!(matches!(refused, Err(StoreError::BadCursor)), "{cursor}");
        }
    }
}
