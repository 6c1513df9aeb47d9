//! Puts two stacks side by side.

use crate::report::SignatureFrame;

/// Frames of each stack that are aligned; those further out follow one by one.
const ALIGNED_MAX: usize = 256;

/// Two frames of the same function, or one that the other stack does not have.
pub type Pair<'f> = (Option<&'f SignatureFrame>, Option<&'f SignatureFrame>);

/// Both stacks in their order, as many frames as possible beside their like.
pub fn align<'f>(left: &'f [SignatureFrame], right: &'f [SignatureFrame]) -> Vec<Pair<'f>> {
    let (left, right) = (bounded(left), bounded(right));
    // How many pairs the rests of both stacks have, by where the rests begin.
    let width = right.len().saturating_add(1);
    let mut pairs = vec![0_usize; width.saturating_mul(left.len().saturating_add(1))];
    let at = |i: usize, j: usize| i.saturating_mul(width).saturating_add(j);
    let get = |pairs: &[usize], i, j| pairs.get(at(i, j)).copied().unwrap_or(0);
    for (i, one) in left.iter().enumerate().rev() {
        for (j, other) in right.iter().enumerate().rev() {
            let most = if one.key() == other.key() {
                get(&pairs, i.saturating_add(1), j.saturating_add(1)).saturating_add(1)
            } else {
                get(&pairs, i.saturating_add(1), j).max(get(&pairs, i, j.saturating_add(1)))
            };
            if let Some(pair) = pairs.get_mut(at(i, j)) {
                *pair = most;
            }
        }
    }
    let (mut i, mut j) = (0_usize, 0_usize);
    let mut rows = Vec::new();
    while i < left.len() || j < right.len() {
        let (one, other) = (left.get(i), right.get(j));
        let same = one
            .zip(other)
            .is_some_and(|(one, other)| one.key() == other.key());
        let skip_left = get(&pairs, i.saturating_add(1), j) >= get(&pairs, i, j.saturating_add(1));
        let row = match (one, other) {
            (Some(_), Some(_)) if same => (one, other),
            (Some(_), _) if other.is_none() || skip_left => (one, None),
            _ => (None, other),
        };
        i = i.saturating_add(usize::from(row.0.is_some()));
        j = j.saturating_add(usize::from(row.1.is_some()));
        rows.push(row);
    }
    rows
}

fn bounded(frames: &[SignatureFrame]) -> &[SignatureFrame] {
    frames.get(..ALIGNED_MAX).unwrap_or(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_stand_side_by_side() {
        let stack = |names: &[&str]| -> Vec<SignatureFrame> {
            let frame = |name: &&str| SignatureFrame {
                function: (*name).to_owned(),
                ..SignatureFrame::default()
            };
            names.iter().map(frame).collect()
        };
        let check = |left: &[&str], right: &[&str], expected: &str| {
            let (left, right) = (stack(left), stack(right));
            let name = |frame: Option<&SignatureFrame>| {
                frame.map_or("-".to_owned(), |frame| frame.function.clone())
            };
            let rows = align(&left, &right).into_iter();
            let text: Vec<String> = rows
                .map(|(one, other)| format!("{}:{}", name(one), name(other)))
                .collect();
            assert_eq!(text.join(" "), expected);
        };
        check(&["a", "b", "m"], &["a", "c", "m"], "a:a b:- -:c m:m");
        check(&["a", "m"], &["x", "a", "m"], "-:x a:a m:m");
        check(&[], &["a"], "-:a");
        check(&["a"], &[], "a:-");
        check(&[], &[], "");
        let deep = vec!["a"; 5000];
        assert_eq!(align(&stack(&deep), &stack(&deep)).len(), ALIGNED_MAX);
    }
}
