//! Turns bytes into numbers, and numbers into text.

use super::Missing;
use gimli::DwAte;

/// The bytes as a number, least significant first.
pub(super) fn unsigned(bytes: &[u8]) -> u128 {
    let mut word = [0; 16];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    u128::from_le_bytes(word)
}

/// The bytes as a number of which the highest bit is the sign.
pub(super) fn signed(bytes: &[u8]) -> i128 {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut word = [if negative { 0xff } else { 0 }; 16];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    i128::from_le_bytes(word)
}

/// A number as its type's encoding says.
pub(super) fn number(encoding: DwAte, bytes: &[u8]) -> String {
    match (encoding, bytes) {
        (gimli::DW_ATE_boolean, [0]) => "false".to_owned(),
        (gimli::DW_ATE_boolean, [1]) => "true".to_owned(),
        (gimli::DW_ATE_float, bytes) => float(bytes),
        (gimli::DW_ATE_UTF, bytes) => {
            let code = u32::try_from(unsigned(bytes)).ok().and_then(char::from_u32);
            code.map_or_else(|| unsigned(bytes).to_string(), |code| format!("{code:?}"))
        }
        (gimli::DW_ATE_signed_char | gimli::DW_ATE_unsigned_char, [byte])
            if byte.is_ascii_graphic() || *byte == b' ' =>
        {
            format!("{byte} {:?}", char::from(*byte))
        }
        (gimli::DW_ATE_signed | gimli::DW_ATE_signed_char, bytes) => signed(bytes).to_string(),
        (_, bytes) => unsigned(bytes).to_string(),
    }
}

fn float(bytes: &[u8]) -> String {
    if let Ok(bytes) = bytes.try_into() {
        return f32::from_le_bytes(bytes).to_string();
    }
    match bytes.try_into() {
        Ok(bytes) => f64::from_le_bytes(bytes).to_string(),
        Err(_) => Missing::Unknown.text().to_owned(),
    }
}
