//! Finds the auxiliary vector in the beginning of a core. The kernel writes it right behind the
//! first thread's registers (`write_note_info` in `fs/binfmt_elf.c`), within the first kilobytes.

use super::elf::CoreHead;
use goblin::container::Ctx;
use goblin::elf::program_header::PT_NOTE;
use goblin::elf::{Elf, ProgramHeader};
use std::io::Read;

/// Bytes of notes looked at: registers of one thread, `prpsinfo`, `siginfo`, and the vector.
const NOTES: usize = 16 * 1024;
/// Types of notes (include/uapi/linux/elf.h).
const NT_PRSTATUS: u32 = 1;
const NT_AUXV: u32 = 6;

/// The vector as the dying process had it. Reads as much more of the stream into `head` as that
/// takes.
pub fn of_core(head: &mut CoreHead, stream: &mut impl Read) -> Option<Vec<u8>> {
    let start = notes_start(&head.bytes)?;
    let end = start.checked_add(NOTES)?;
    head.bytes.reserve(NOTES);
    let missing = u64::try_from(end.saturating_sub(head.bytes.len())).ok()?;
    // What a broken stream gave before it broke may be enough.
    let _ = stream.take(missing).read_to_end(&mut head.bytes);
    let vector = note(head.bytes.get(start..head.bytes.len().min(end))?, NT_AUXV)?;
    Some(vector.to_vec())
}

/// The signal that killed the process, from the first thread's status in the beginning of a core:
/// `pr_cursig` of `struct elf_prstatus`, behind three words of `elf_siginfo`.
pub(crate) fn signal_of_core(head: &CoreHead) -> Option<i32> {
    let notes = head.bytes.get(notes_start(&head.bytes)?..)?;
    let number = note(notes, NT_PRSTATUS)?.get(12..14)?;
    Some(i16::from_ne_bytes(number.try_into().ok()?).into())
}

fn notes_start(head: &[u8]) -> Option<usize> {
    let header = Elf::parse_header(head).ok()?;
    let ctx = Ctx::new(header.container().ok()?, header.endianness().ok()?);
    let table = usize::try_from(header.e_phoff).ok()?;
    let first = ProgramHeader::parse(head, table, 1, ctx).ok()?;
    let notes = first.first().filter(|segment| segment.p_type == PT_NOTE)?;
    // A core of the kernel has them right behind its headers, which are in `head`.
    let start = usize::try_from(notes.p_offset).ok()?;
    (start <= head.len()).then_some(start)
}

/// The description of the first note of a kind.
fn note(mut notes: &[u8], wanted: u32) -> Option<&[u8]> {
    let word = |bytes: &[u8], at: usize| {
        let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(u32::from_ne_bytes(four))
    };
    loop {
        let size = |at| usize::try_from(word(notes, at)?).ok();
        let (name, description, kind) = (size(0)?, size(4)?, word(notes, 8)?);
        let start = name.checked_add(12)?.checked_next_multiple_of(4)?;
        let end = start.checked_add(description)?;
        if kind == wanted {
            return notes.get(start..end);
        }
        notes = notes.get(end.checked_next_multiple_of(4)?..)?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{CoreHead, NT_AUXV, of_core};

    fn auxv_note(notes: &[u8]) -> Option<&[u8]> {
        super::note(notes, NT_AUXV)
    }

    fn note(kind: u32, description: &[u8]) -> Vec<u8> {
        let mut note = Vec::new();
        for word in [5, u32::try_from(description.len()).unwrap(), kind] {
            note.extend(word.to_ne_bytes());
        }
        note.extend(b"CORE\0\0\0\0");
        note.extend(description);
        note.resize(note.len().next_multiple_of(4), 0);
        note
    }

    #[test]
    fn the_vector_is_found_behind_other_notes() {
        let mut notes = [note(1, &[1; 336]), note(3, &[2; 137])].concat();
        assert_eq!(auxv_note(&notes), None);
        notes.extend(note(6, b"auxiliary vector"));
        assert_eq!(auxv_note(&notes).unwrap(), b"auxiliary vector");
        for cut in 0..notes.len() {
            assert_eq!(auxv_note(&notes[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn absurd_notes_are_not_followed() {
        assert_eq!(auxv_note(&[0xff; 64]), None);
        assert_eq!(auxv_note(&[0; 64]), None);
        let mut empty = CoreHead::default();
        assert_eq!(of_core(&mut empty, &mut &b""[..]), None);
    }
}
