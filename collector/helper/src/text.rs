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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_bytes_are_visible_and_length_is_bounded() {
        assert_eq!(escape_bytes(b"a\xffb", 100), "a\\xffb");
        assert_eq!(escape_bytes("grün".as_bytes(), 100), "grün");
        assert_eq!(escape_bytes(&[b'x'; 1000], 10), "xxxxxxxxxx…");
        assert_eq!(escape_bytes("ü".repeat(10).as_bytes(), 3), "ü…");
    }
}
