//! Recognizes pointers that were read from memory after it was freed.
//!
//! Three sources leave what can be told apart from a pointer: allocators and debuggers that fill
//! freed memory with a pattern; glibc's thread cache, which writes a random key of the process
//! into the second word of a freed block (malloc/malloc.c, `tcache_key`); and glibc's safe linking,
//! which leaves the block's own page number in the first word of the last block of a free list
//! (`PROTECT_PTR` of a null pointer).

use super::Confidence;
use crate::scene::Scene;

/// What allocators and debuggers fill freed or fresh memory with.
const FILLS: [(u32, &str); 7] = [
    (0xdddd_dddd, "0xdd, freed memory"),
    (0xfeee_feee, "0xfeee, freed memory"),
    (0xdead_beef, "0xdeadbeef, freed memory"),
    (0x6b6b_6b6b, "0x6b, freed memory"),
    (0x5a5a_5a5a, "0x5a, freed memory (jemalloc)"),
    (0xe5e5_e5e5, "0xe5, freed memory (jemalloc, mozjemalloc)"),
    (0xcdcd_cdcd, "0xcd, memory never written"),
];
/// How far into an object an access goes, bytes.
const MEMBER: u64 = 0x1000;

/// What tells that an address was made of freed memory, and how sure that is.
pub(super) fn sign(
    scene: &dyn Scene,
    address: u64,
    base: Option<u64>,
) -> Option<(Confidence, String)> {
    if let Some(fill) = fill(address) {
        let said = format!("The address looks like the fill pattern {fill}.");
        return Some((Confidence::Likely, said));
    }
    let pointer = base.filter(|base| address.wrapping_sub(*base) < MEMBER)?;
    if is_tcache_key(scene, pointer) {
        return Some((
            Confidence::Certain,
            format!(
                "The pointer {pointer:#x} is the key that glibc's allocator writes into the second word of a block when it is freed."
            ),
        ));
    }
    is_page_of_heap(scene, pointer).then(|| {
        (
            Confidence::Likely,
            format!(
                "The pointer {pointer:#x} is the page number of heap memory, which glibc's allocator leaves in the first word of a freed block."
            ),
        )
    })
}

fn fill(address: u64) -> Option<&'static str> {
    let halves =
        [address >> 32, address & 0xffff_ffff].map(|half| u32::try_from(half).unwrap_or(0));
    let near = |half: u32, fill: u32| half.wrapping_sub(fill).wrapping_add(0x1000) < 0x2000;
    FILLS
        .iter()
        .find(|(fill, _)| halves.iter().any(|half| near(*half, *fill)))
        .map(|(_, name)| *name)
}

fn is_tcache_key(scene: &dyn Scene, pointer: u64) -> bool {
    // The key is random in all its bits: a small one is none.
    let key = || {
        let (at, _) = scene
            .symbol("libc.so", "tcache_key")
            .or_else(|| scene.symbol("libc-2", "tcache_key"))
            .or_else(|| scene.symbol("", "tcache_key"))?;
        scene.read_u64(at)
    };
    pointer >> 32 != 0 && key() == Some(pointer)
}

/// Page numbers of memory that is mapped as heaps are: writable and of no file.
fn is_page_of_heap(scene: &dyn Scene, pointer: u64) -> bool {
    /// The lowest page number of a heap of a 64-bit process: those lie above 4 GiB.
    const LOWEST: u64 = 1 << 20;
    /// Pages have 4 KiB where glibc's addresses are shifted by 12, whatever the machine's.
    const SHIFT: u32 = 12;
    if !(LOWEST..1 << 40).contains(&pointer) || scene.mapping_at(pointer).is_some() {
        return false;
    }
    scene
        .mapping_at(pointer << SHIFT)
        .is_some_and(|mapping| mapping.writable && mapping.path.is_none())
}
