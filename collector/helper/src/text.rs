//! Turns hostile bytes into text that says what it lost.

/// The longest text kept of one hostile value, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;

/// Bytes as text: valid UTF-8 as it is, every other byte as `\xNN`, cut at `limit` bytes
/// with `…` as the last character.
///
/// Control characters stay: escaping for a terminal, a page or a log belongs to whoever shows it.
pub fn escape_bytes(bytes: &[u8], limit: usize) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str("\\x");
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('?'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('?'));
        }
        if text.len() > limit {
            text.truncate(text.floor_char_boundary(limit));
            text.push('…');
            break;
        }
    }
    text
}

/// Undoes what the kernel does to paths in /proc, where space, tab, newline and backslash stand as `\040` and the like (`mangle_path`).
pub fn unescape_octal(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let digits = (*first == b'\\').then(|| tail.get(..3)).flatten();
        let byte = digits
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = match byte {
            Some(_) => tail.get(3..).unwrap_or_default(),
            None => tail,
        };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_bytes_are_visible_and_length_is_bounded() {
        assert_eq!(escape_bytes(b"a\xffb", 100), "a\\xffb");
        assert_eq!(escape_bytes("grün".as_bytes(), 100), "grün");
        assert_eq!(escape_bytes(&[b'x'; 1000], 10), "xxxxxxxxxx…");
        assert_eq!(escape_bytes("ü".repeat(10).as_bytes(), 3), "ü…");
        assert_eq!(
            unescape_octal(b"/a\\040b\\134c\\0\\999"),
            b"/a b\\c\\0\\999"
        );
    }
}
