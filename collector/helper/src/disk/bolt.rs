//! Reads single values of a bolt database (bbolt `page.go`, `meta.go`, `bucket.go`), in which
//! containerd, and Podman before version 5, keep what they know of containers.
//!
//! No lock is taken: its owner holds one all his life. Bolt never writes over the pages of the
//! newest state but those of older ones, so that what was read is whole if the newest state is
//! still the same afterwards ([`Bolt::unchanged`]). Everything is bounded, and nothing believed.

use crate::bounded::read_at;
use std::fs::File;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
const PAGE_HEADER: usize = 16;
const ELEMENT: usize = 16;
const BRANCH: u16 = 1;
const LEAF: u16 = 2;
/// Largest page with its overflow.
const MAX_PAGE: usize = 4 << 20;
/// Deepest tree. A database of a terabyte has some six levels.
const MAX_DEPTH: usize = 16;
/// Most pairs listed of one bucket, and most pages read for that: pages that point at each other
/// would never end.
const MAX_PAIRS: usize = 1024;
const MAX_LISTED_PAGES: usize = 256;

/// An open database at its newest state.
#[derive(Debug)]
pub struct Bolt {
    file: File,
    page_size: usize,
    root: u64,
    transaction: u64,
}

/// A bucket: keys with values, and further buckets.
#[derive(Debug)]
pub struct Bucket<'a> {
    bolt: &'a Bolt,
    root: Root,
}

#[derive(Clone, Debug)]
enum Root {
    Page(u64),
    /// A small bucket lies within its parent's value.
    Inline(Vec<u8>),
}

struct Meta {
    page_size: usize,
    root: u64,
    transaction: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn size_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

impl Bolt {
    /// Opens a database; `None` when it is none.
    pub fn open(file: File) -> Option<Self> {
        let meta = newest(&file)?;
        Some(Self {
            file,
            page_size: meta.page_size,
            root: meta.root,
            transaction: meta.transaction,
        })
    }

    /// Whether what was read since [`Bolt::open`] is of one state.
    pub fn unchanged(&self) -> bool {
        newest(&self.file).is_some_and(|meta| meta.transaction == self.transaction)
    }

    /// The bucket at the end of `path`.
    pub fn bucket(&self, path: &[&str]) -> Option<Bucket<'_>> {
        let top = Bucket {
            bolt: self,
            root: Root::Page(self.root),
        };
        path.iter()
            .try_fold(top, |bucket, name| bucket.bucket(name))
    }

    /// A page with its overflow.
    fn page(&self, id: u64) -> Option<Vec<u8>> {
        let offset = id.checked_mul(u64::try_from(self.page_size).ok()?)?;
        let page = read_at(&self.file, offset, self.page_size).ok()?;
        let more = size_at(&page, 12)?;
        if more == 0 {
            return Some(page);
        }
        let length = more.checked_add(1)?.checked_mul(self.page_size)?;
        let length = Some(length).filter(|length| *length <= MAX_PAGE)?;
        read_at(&self.file, offset, length).ok()
    }
}

/// The newer of the two meta pages that are whole.
fn newest(file: &File) -> Option<Meta> {
    // The second is one page on, whose size only the first can tell: try the usual ones.
    let starts = [0, 4096, 8192, 16384, 65536];
    let whole = |start| meta(&read_at(file, start, 80).ok()?);
    starts
        .iter()
        .filter_map(|start| whole(*start))
        .max_by_key(|meta| meta.transaction)
}

fn meta(page: &[u8]) -> Option<Meta> {
    let meta = page.get(PAGE_HEADER..)?;
    let known = u32_at(meta, 0)? == MAGIC && u32_at(meta, 4)? == VERSION;
    let whole = fnv1a(meta.get(..56)?) == u64_at(meta, 56)?;
    let page_size = size_at(meta, 8)?;
    let sane = (1024..=65536).contains(&page_size);
    (known && whole && sane).then_some(Meta {
        page_size,
        root: u64_at(meta, 16)?,
        transaction: u64_at(meta, 48)?,
    })
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

impl Bucket<'_> {
    /// The value of `key`.
    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        match self.find(key.as_bytes())? {
            (false, value) => Some(value),
            (true, _) => None,
        }
    }

    /// The same as text.
    pub fn text(&self, key: &str) -> Option<String> {
        String::from_utf8(self.value(key)?).ok()
    }

    /// All pairs of texts, in the order of their keys, at most [`MAX_PAIRS`].
    pub fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        let mut waiting = vec![self.root.clone()];
        for _ in 0..MAX_LISTED_PAGES {
            let Some(page) = waiting.pop().and_then(|root| self.read(&root)) else {
                break;
            };
            match u16_at(&page, 8) {
                Some(BRANCH) => {
                    let below: Vec<_> = branches(&page).take(MAX_LISTED_PAGES).collect();
                    waiting.extend(below.iter().rev().map(|(_, page)| Root::Page(*page)));
                }
                Some(LEAF) => list(&page, &mut pairs),
                _ => break,
            }
        }
        pairs
    }

    fn bucket(self, name: &str) -> Option<Self> {
        let (true, value) = self.find(name.as_bytes())? else {
            return None;
        };
        let root = match u64_at(&value, 0)? {
            0 => Root::Inline(value.get(16..)?.to_vec()),
            page => Root::Page(page),
        };
        Some(Self {
            bolt: self.bolt,
            root,
        })
    }

    fn read(&self, root: &Root) -> Option<Vec<u8>> {
        match root {
            Root::Page(id) => self.bolt.page(*id),
            Root::Inline(page) => Some(page.clone()),
        }
    }

    fn find(&self, key: &[u8]) -> Option<(bool, Vec<u8>)> {
        let mut root = self.root.clone();
        for _ in 0..MAX_DEPTH {
            let page = self.read(&root)?;
            match u16_at(&page, 8)? {
                BRANCH => {
                    let below = branches(&page).take_while(|(first, _)| *first <= key);
                    root = Root::Page(below.last()?.1);
                }
                LEAF => {
                    let mut leaves = leaves(&page);
                    let (_, is_bucket, value) = leaves.find(|(found, ..)| *found == key)?;
                    return Some((is_bucket, value.to_vec()));
                }
                _ => return None,
            }
        }
        None
    }
}

/// Adds the texts of a leaf page.
fn list(page: &[u8], pairs: &mut Vec<(String, String)>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    let texts = leaves(page)
        .filter(|(_, is_bucket, _)| !is_bucket)
        .filter_map(|(key, _, value)| Some((text(key)?, text(value)?)));
    pairs.extend(texts.take(MAX_PAIRS.saturating_sub(pairs.len())));
}

/// Starts of a page's elements.
fn elements(page: &[u8]) -> impl Iterator<Item = usize> {
    let count = u16_at(page, 10).map_or(0, usize::from);
    (0..count).map_while(|index| index.checked_mul(ELEMENT)?.checked_add(PAGE_HEADER))
}

/// First keys of the pages below, and the pages.
fn branches(page: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    elements(page).map_while(|at| {
        let start = at.checked_add(size_at(page, at)?)?;
        let end = start.checked_add(size_at(page, at.checked_add(4)?)?)?;
        Some((page.get(start..end)?, u64_at(page, at.checked_add(8)?)?))
    })
}

/// Keys, whether each is a bucket, and values.
fn leaves(page: &[u8]) -> impl Iterator<Item = (&[u8], bool, &[u8])> {
    elements(page).map_while(|at| {
        let is_bucket = u32_at(page, at)? & 1 == 1;
        let start = at.checked_add(size_at(page, at.checked_add(4)?)?)?;
        let middle = start.checked_add(size_at(page, at.checked_add(8)?)?)?;
        let end = middle.checked_add(size_at(page, at.checked_add(12)?)?)?;
        Some((page.get(start..middle)?, is_bucket, page.get(middle..end)?))
    })
}

#[cfg(test)]
mod tests;
