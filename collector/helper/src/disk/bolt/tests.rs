//! Databases written by hand from bbolt's description of its pages, whole and damaged.

#![allow(clippy::unwrap_used)]

use super::*;
use std::io::Write;

const PAGE: usize = 4096;

/// One element of a leaf: key, whether it is a bucket, value.
type Leaf<'a> = (&'a str, bool, Vec<u8>);

fn header(id: u64, kind: u16, count: usize, overflow: u32) -> Vec<u8> {
    let mut page = id.to_le_bytes().to_vec();
    page.extend(kind.to_le_bytes());
    page.extend(u16::try_from(count).unwrap().to_le_bytes());
    page.extend(overflow.to_le_bytes());
    page
}

fn number(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap().to_le_bytes()
}

fn leaf(id: u64, elements: &[Leaf<'_>], overflow: u32) -> Vec<u8> {
    let mut page = header(id, LEAF, elements.len(), overflow);
    let mut data: Vec<u8> = Vec::new();
    for (index, (key, is_bucket, value)) in elements.iter().enumerate() {
        let position = (elements.len() - index) * ELEMENT + data.len();
        for field in [usize::from(*is_bucket), position, key.len(), value.len()] {
            page.extend(number(field));
        }
        data.extend(key.as_bytes());
        data.extend(value);
    }
    page.extend(data);
    page
}

fn branch(id: u64, elements: &[(&str, u64)]) -> Vec<u8> {
    let mut page = header(id, BRANCH, elements.len(), 0);
    let mut data: Vec<u8> = Vec::new();
    for (index, (key, below)) in elements.iter().enumerate() {
        let position = (elements.len() - index) * ELEMENT + data.len();
        page.extend(number(position));
        page.extend(number(key.len()));
        page.extend(below.to_le_bytes());
        data.extend(key.as_bytes());
    }
    page.extend(data);
    page
}

fn meta_page(id: u64, root: u64, transaction: u64) -> Vec<u8> {
    let mut meta = [MAGIC, VERSION, 4096, 0].map(u32::to_le_bytes).concat();
    for field in [root, 0, 0, 0, transaction] {
        meta.extend(field.to_le_bytes());
    }
    let sum = fnv1a(&meta);
    meta.extend(sum.to_le_bytes());
    [header(id, 4, 0, 0), meta].concat()
}

/// A bucket's value that points to a page.
fn at_page(page: u64) -> Vec<u8> {
    [page.to_le_bytes(), 0u64.to_le_bytes()].concat()
}

/// A small bucket within its parent's value.
fn inline(elements: &[Leaf<'_>]) -> Vec<u8> {
    [at_page(0), leaf(0, elements, 0)].concat()
}

fn file(pages: &[Vec<u8>]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    for page in pages {
        let length = page.len().next_multiple_of(PAGE);
        let mut page = page.clone();
        page.resize(length, 0);
        file.write_all(&page).unwrap();
    }
    file
}

/// Two states: the newer has its root at page 2, the older at page 3.
fn pages() -> Vec<Vec<u8>> {
    let labels = inline(&[
        ("k", false, b"v".to_vec()),
        ("team", false, b"shop".to_vec()),
    ]);
    let web = inline(&[
        ("image", false, b"shop:1".to_vec()),
        ("labels", true, labels),
    ]);
    vec![
        meta_page(0, 2, 7),
        meta_page(1, 3, 6),
        leaf(2, &[("v1", true, at_page(4))], 0),
        leaf(3, &[("old", false, b"state".to_vec())], 0),
        branch(4, &[("a", 5), ("l", 6)]),
        leaf(
            5,
            &[("big", false, vec![b'x'; 100]), ("db", true, inline(&[]))],
            0,
        ),
        leaf(
            6,
            &[("long", false, vec![b'y'; 6000]), ("web", true, web)],
            1,
        ),
    ]
}

#[test]
fn values_are_found_through_branches_and_inline_buckets() {
    let bolt = Bolt::open(file(&pages())).unwrap();
    let web = bolt.bucket(&["v1", "web"]).unwrap();
    assert_eq!(web.text("image").as_deref(), Some("shop:1"));
    assert_eq!(web.text("labels"), None);
    let labels = bolt.bucket(&["v1", "web", "labels"]).unwrap().pairs();
    let expected = [("k", "v"), ("team", "shop")];
    assert_eq!(labels, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    let all = bolt.bucket(&["v1"]).unwrap();
    assert_eq!(all.value("long").unwrap().len(), 6000);
    assert_eq!(all.pairs().len(), 2);
    assert!(bolt.bucket(&["v1", "none"]).is_none());
    assert!(bolt.bucket(&["old"]).is_none());
    assert!(bolt.unchanged());
}

#[test]
fn the_newest_whole_state_counts() {
    let mut torn = pages();
    torn[0][20] ^= 1;
    let bolt = Bolt::open(file(&torn)).unwrap();
    assert_eq!(
        bolt.bucket(&[]).unwrap().text("old").as_deref(),
        Some("state")
    );
    torn[1][20] ^= 1;
    assert!(Bolt::open(file(&torn)).is_none());
    assert!(Bolt::open(tempfile::tempfile().unwrap()).is_none());
}

#[test]
fn pages_that_point_at_each_other_end() {
    let many: Vec<(&str, u64)> = (0..200).map(|_| ("", 4)).collect();
    let mut pages = pages();
    pages[4] = branch(4, &many);
    let bolt = Bolt::open(file(&pages)).unwrap();
    let round = bolt.bucket(&["v1"]).unwrap();
    assert_eq!((round.value("web"), round.pairs()), (None, vec![]));
}

#[test]
fn damaged_pages_give_nothing_or_less() {
    let whole = pages();
    let mut state = 1u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..2000 {
        let mut pages = whole.clone();
        for _ in 0..=random(3) {
            let page = 2 + random(pages.len() - 2);
            let at = random(pages[page].len().min(200));
            pages[page][at] = u8::try_from(random(256)).unwrap();
        }
        let Some(bolt) = Bolt::open(file(&pages)) else {
            continue;
        };
        for path in [&["v1"][..], &["v1", "web"], &["v1", "web", "labels"]] {
            if let Some(bucket) = bolt.bucket(path) {
                assert!(bucket.pairs().len() <= MAX_PAIRS);
                bucket.value("image");
            }
        }
    }
}
