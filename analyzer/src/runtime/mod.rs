//! What language run times leave behind in a dead process.

pub(crate) mod cpp;
pub(crate) mod go;
mod goroutines;
mod managed;
pub(crate) mod rust;

pub(crate) use managed::managed;

use crate::scene::Scene;

/// Most stack looked through, bytes.
const MAX_STACK: u64 = 64 * 1024;

/// The words of the crashed thread's stack between two addresses, lowest first.
fn stack_words(scene: &dyn Scene, from: u64, to: u64) -> impl Iterator<Item = (u64, u64)> {
    let from = from.next_multiple_of(8);
    let to = to.min(from.saturating_add(MAX_STACK));
    let step = |address: &u64| address.checked_add(8);
    std::iter::successors(Some(from), step)
        .take_while(move |address| *address < to)
        .filter_map(move |address| Some((address, scene.read_u64(address)?)))
}
