//! Writes the code and memory at the place of a crash, as debuggers do.

use super::{line, safe};
use crate::report::{CodeLine, MemoryRange, Site};

/// Bytes of memory in a line.
const LINE: usize = 16;

pub(super) fn write(text: &mut String, site: &Site) {
    let function = site.function.as_deref().map(safe);
    let place = function
        .map(|name| format!(" in {name}"))
        .unwrap_or_default();
    line(text, &format!("\nCode around {}{place}:", safe(&site.what)));
    for code in &site.code {
        line(text, &code_line(code));
    }
    if !site.registers.is_empty() {
        line(text, "Registers it uses:");
    }
    for register in &site.registers {
        let points_to = register
            .points_to
            .as_deref()
            .map(|points_to| format!("  ({})", safe(points_to)))
            .unwrap_or_default();
        line(
            text,
            &format!(
                "    {:<4} {:#018x}{points_to}",
                safe(&register.name),
                register.value.0
            ),
        );
    }
    for range in &site.memory {
        memory(text, range);
    }
    if site.memory_withheld {
        line(text, "Memory is not shown: none of this crash is kept.");
    }
}

fn code_line(code: &CodeLine) -> String {
    let mark = if code.marked { "=>" } else { "  " };
    let offset = code
        .offset
        .map(|offset| format!("<+{offset}>"))
        .unwrap_or_default();
    let target = code
        .target
        .as_deref()
        .map(|target| format!("  <{}>", safe(target)))
        .unwrap_or_default();
    format!(
        " {mark} {:#018x} {offset:<8} {:<30} {}{target}",
        code.pc.0,
        safe(&code.bytes),
        safe(&code.text)
    )
}

fn memory(text: &mut String, range: &MemoryRange) {
    let what = safe(&range.what);
    if let Some(absent) = &range.absent {
        let title = format!("Memory at {} ({what}): {}.", range.address, safe(absent));
        return line(text, &title);
    }
    line(text, &format!("Memory at {} ({what}):", range.address));
    for (address, bytes, shown) in lines(range) {
        let mark = if range.address.0.wrapping_sub(address) < LINE as u64 {
            "=>"
        } else {
            "  "
        };
        line(
            text,
            &format!(" {mark} {address:#018x}  {bytes:<47}  |{shown}|"),
        );
    }
}

/// A piece of memory in lines: address, bytes, and what of them is text.
pub fn lines(range: &MemoryRange) -> Vec<(u64, String, String)> {
    let bytes: Vec<&str> = range.bytes.split_whitespace().collect();
    let line = |(at, bytes): (usize, &[&str])| {
        let address = range.start.0.wrapping_add((at * LINE) as u64);
        let shown = bytes.iter().map(|byte| character(byte)).collect();
        (address, safe(&bytes.join(" ")), shown)
    };
    bytes.chunks(LINE).enumerate().map(line).collect()
}

/// A byte as text: a space where it is absent, a dot where it cannot be shown.
fn character(byte: &str) -> char {
    match u8::from_str_radix(byte, 16) {
        Ok(byte @ 0x20..=0x7e) => char::from(byte),
        Ok(_) => '.',
        Err(_) => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Address;

    #[test]
    fn absent_bytes_are_seen() {
        let range = MemoryRange {
            start: Address(0x1000),
            bytes: format!("41 ?? 00{}", " 42".repeat(15)),
            ..MemoryRange::default()
        };
        let found = lines(&range);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].2, "A .BBBBBBBBBBBBB");
        assert_eq!(found[1], (0x1010, "42 42".to_owned(), "BB".to_owned()));
    }
}
