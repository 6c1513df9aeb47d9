//! What is compared of a signature, as its row holds it: numbers of functions, and what is known of
//! each.

use crate::assign::line;
use crate::store::StoreError;
use aground_analyzer::group::{MAX_KEPT, Part, Role, keys, weigh};
use aground_analyzer::report::Signature;
use rusqlite::Transaction;

/// More frames than any signature counts; one that claims more was made up by a worker.
const FRAMES_MAX: usize = 64;

/// The frames of a signature as numbers.
pub(crate) struct Stack {
    /// Number of kind and class together; frames of others are not compared.
    class: i64,
    /// Numbers of what is compared, from the top.
    frames: Vec<(i64, Role)>,
}

impl Stack {
    pub(crate) fn intern(sql: &Transaction<'_>, signature: &Signature) -> Result<Self, StoreError> {
        let class = term(sql, &format!("{} {}", signature.kind, signature.class))?;
        // What a label or the bare facts decide has nothing to be compared. A panic's nameless way
        // to abort() is the same for many bugs and looks like one, but a short stack has no room
        // for it.
        let counting = signature.frames.iter().filter(|frame| frame.kept).count();
        let compared = match signature.kind.as_str() {
            "symbolic" => true,
            "offsets" => signature.class != "abort" || counting <= MAX_KEPT,
            _ => false,
        };
        let kept = keys(signature).filter(|_| compared).take(FRAMES_MAX);
        let frames = kept.map(|(key, role)| Ok((term(sql, key)?, role)));
        Ok(Self {
            class,
            frames: frames.collect::<Result<_, StoreError>>()?,
        })
    }

    /// As a row holds it: `17 i4 o9`.
    pub(crate) fn read(class: i64, stack: &str) -> Self {
        let frames = stack.split(' ').filter_map(|word| {
            let number = word.trim_start_matches(|c: char| c.is_ascii_alphabetic());
            let is = |letter| {
                word.trim_end_matches(|c: char| c.is_ascii_digit())
                    .contains(letter)
            };
            let role = Role {
                // Earlier versions wrote a minus sign.
                helper: is('h') || is('-'),
                inlined: is('i'),
                opaque: is('o'),
                place: is('p'),
            };
            Some((number.parse::<i64>().ok()?.abs(), role))
        });
        Self {
            class,
            frames: frames.collect(),
        }
    }

    pub(crate) fn written(&self) -> String {
        let word = |(number, role): &(i64, Role)| {
            let letters = [
                ("h", role.helper),
                ("i", role.inlined),
                ("o", role.opaque),
                ("p", role.place),
            ];
            let is = letters.iter().filter(|(_, is)| *is);
            let letters: String = is.map(|(letter, _)| *letter).collect();
            format!("{letters}{number}")
        };
        self.frames.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn parts(&self) -> Vec<Part<i64>> {
        weigh(self.frames.iter().copied())
    }

    /// Number of kind and class together.
    pub(crate) fn class(&self) -> i64 {
        self.class
    }

    /// The numbers alone.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = i64> {
        self.frames.iter().map(|(number, _)| *number)
    }
}

/// The number of a function or class.
fn term(sql: &Transaction<'_>, text: &str) -> Result<i64, StoreError> {
    let text = line(text);
    sql.prepare_cached("INSERT INTO terms (text) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([&text])?;
    Ok(sql
        .prepare_cached("SELECT key FROM terms WHERE text = ?1")?
        .query_row([&text], |row| row.get(0))?)
}

/// The stack of a row with what another crash of the signature tells of the same frames: what was
/// inlined in one build, or is known of in one. Nothing when it tells nothing new.
pub(crate) fn better_known(row: &str, signature: &Signature) -> Option<String> {
    let mut stack = Stack::read(0, row);
    let told = keys(signature).filter(|(_, role)| !role.place);
    let known = stack.frames.iter_mut().filter(|(_, role)| !role.place);
    for ((_, known), (_, told)) in known.zip(told) {
        known.inlined |= told.inlined;
        known.opaque &= told.opaque;
    }
    Some(stack.written()).filter(|better| better != row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_what_is_known_of_each_frame() {
        for row in ["", "17", "p3 h4 i5 o6 io7"] {
            assert_eq!(Stack::read(1, row).written(), row);
        }
        // As earlier versions wrote a helper; what is no frame is passed over.
        assert_eq!(Stack::read(1, "-4 x 5").written(), "h4 5");
        let frame = |function: &str, inlined, opaque| aground_analyzer::report::SignatureFrame {
            function: function.to_owned(),
            kept: true,
            inlined,
            opaque,
            ..Default::default()
        };
        let signature = Signature {
            frames: vec![frame("a", true, false), frame("b", false, true)],
            ..Signature::default()
        };
        assert_eq!(better_known("1 o2", &signature).as_deref(), Some("i1 o2"));
        assert_eq!(better_known("io1 2", &signature).as_deref(), Some("i1 2"));
        assert_eq!(better_known("i1 o2", &signature), None);
    }
}
