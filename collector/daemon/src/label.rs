//! Groups crashes as the container's label `aground.group` asks.

use aground_analyzer::report::Signature;
use aground_helper::label::{DEFAULT, GROUP, line};
use aground_helper::record::Record;
use sha2::{Digest, Sha256};

/// The kind of a signature that a label made.
const KIND: &str = "label";

/// Puts what the label asks for in the signature's place. The frames stay, for who wants to know
/// what would count otherwise. A label that is wrong is told in the record, and nothing changes.
pub(crate) fn group(record: &Record, signature: &mut Signature) {
    let labels = record.container.as_ref().map(|container| &container.labels);
    let asked = labels.and_then(|labels| labels.get(GROUP));
    let Some(Ok(asked)) = asked.map(|value| line(value)) else {
        return;
    };
    let with = |default: &str| asked.replace(DEFAULT, default);
    let named = format!("{GROUP}\0{}", with(&signature.hash));
    signature.title = with(&signature.title);
    signature.hash = Sha256::digest(named)
        .iter()
        .fold(String::new(), |mut text, byte| {
            use std::fmt::Write;
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
    KIND.clone_into(&mut signature.kind);
}

#[cfg(test)]
mod tests {
    use super::*;
    use aground_helper::record::Container;

    fn grouped(label: &str, hash: &str) -> Signature {
        let labels = [(GROUP.to_owned(), label.to_owned())];
        let record = Record {
            container: Some(Container {
                labels: labels.into(),
                ..Container::default()
            }),
            ..Record::default()
        };
        let mut signature = Signature {
            title: "parse".to_owned(),
            hash: hash.to_owned(),
            kind: "symbolic".to_owned(),
            ..Signature::default()
        };
        group(&record, &mut signature);
        signature
    }

    #[test]
    fn a_label_replaces_or_extends_the_stack() {
        let (one, two) = (grouped("watchdog", "aa"), grouped("watchdog", "bb"));
        assert_eq!(
            (one.title.as_str(), one.kind.as_str()),
            ("watchdog", "label")
        );
        assert_eq!((one.hash.len(), &one.hash), (64, &two.hash));
        let (one, two) = (
            grouped("{default} in tenant a", "aa"),
            grouped("{default} in tenant a", "bb"),
        );
        assert_eq!(one.title, "parse in tenant a");
        assert_ne!(one.hash, two.hash);
        let wrong = grouped("a\nb", "aa");
        assert_eq!(
            (wrong.hash.as_str(), wrong.kind.as_str()),
            ("aa", "symbolic")
        );
    }
}
