//! Finds the functions between a caller and a callee that tail calls left without frames.
//!
//! `raise` calls `__pthread_kill_internal`, which jumps to `__pthread_kill_implementation`: the
//! stack shows the last under the first. Compilers describe calls, so where the described callee
//! is not the function that runs, the jumps between them are searched; only what all possible
//! ways have in common is shown, as gdb does.

use super::Symbols;
use super::call_sites::Target;

/// Functions looked at for one gap.
const FUNCTIONS_MAX: usize = 128;
/// Ways considered before giving up.
const WAYS_MAX: usize = 16;
/// Jumps in one way.
const JUMPS_MAX: usize = 16;

impl Symbols<'_, '_> {
    /// Addresses after the jumps between the function at `callee` (an address inside an
    /// instruction) and the call before `return_address`, innermost first.
    pub fn tail_calls(&mut self, callee: u64, return_address: u64) -> Vec<u64> {
        self.ways_between(callee, return_address)
            .map(|ways| common(&ways))
            .unwrap_or_default()
    }

    fn ways_between(&mut self, callee: u64, return_address: u64) -> Option<Vec<Vec<u64>>> {
        let (bias, target) = self.callee(return_address)?;
        let (start, entry) = (self.address_of(bias, &target)?, self.entry(callee)?);
        if start == entry {
            return None;
        }
        let mut search = Search {
            entry,
            ways: Vec::new(),
            functions: 0,
        };
        search.follow(self, start, &mut Vec::new(), &mut vec![start]);
        Some(search.ways)
    }

    fn address_of(&self, bias: u64, target: &Target) -> Option<u64> {
        match target {
            Target::Address(address) => Some(address.wrapping_add(bias)),
            Target::Name(name) => self.function_by_name(name),
        }
    }
}

struct Search {
    /// Where the callee begins.
    entry: u64,
    ways: Vec<Vec<u64>>,
    functions: usize,
}

impl Search {
    /// Follows the jumps of the function that begins at `function`.
    fn follow(
        &mut self,
        symbols: &Symbols<'_, '_>,
        function: u64,
        way: &mut Vec<u64>,
        visited: &mut Vec<u64>,
    ) {
        self.functions += 1;
        if self.functions > FUNCTIONS_MAX || way.len() >= JUMPS_MAX {
            return;
        }
        let Some((bias, jumps)) = symbols.jumps(function) else {
            return;
        };
        for jump in jumps {
            let next = symbols.address_of(bias, &jump.target);
            let Some(next) = next.filter(|next| !visited.contains(next)) else {
                continue;
            };
            let after = jump.after.wrapping_add(bias);
            way.push(after);
            if next == self.entry {
                if self.ways.len() < WAYS_MAX {
                    self.ways.push(way.clone());
                }
            } else {
                visited.push(next);
                self.follow(symbols, next, way, visited);
                visited.pop();
            }
            way.pop();
        }
    }
}

/// The jumps that all ways begin with and end with, innermost first.
fn common(ways: &[Vec<u64>]) -> Vec<u64> {
    let Some((first, others)) = ways.split_first() else {
        return Vec::new();
    };
    if others.is_empty() {
        return first.iter().rev().copied().collect();
    }
    let shortest = ways.iter().map(Vec::len).min().unwrap_or(0);
    let shared = |get: &dyn Fn(&Vec<u64>, usize) -> Option<u64>, limit: usize| {
        (0..limit)
            .take_while(|&i| others.iter().all(|way| get(way, i) == get(first, i)))
            .count()
    };
    let head = shared(&|way, i| way.get(i).copied(), shortest);
    let tail = shared(&|way, i| way.iter().rev().nth(i).copied(), shortest - head);
    let tail = first.iter().rev().take(tail);
    tail.chain(first.iter().take(head).rev()).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::common;

    #[test]
    fn only_what_all_ways_share_is_shown() {
        assert_eq!(common(&[]), Vec::<u64>::new());
        assert_eq!(common(&[vec![1, 2]]), [2, 1]);
        assert_eq!(common(&[vec![1, 2, 4], vec![1, 3, 4]]), [4, 1]);
        assert_eq!(common(&[vec![1], vec![2]]), Vec::<u64>::new());
        assert_eq!(common(&[vec![1], vec![1, 2]]), [1]);
    }
}
