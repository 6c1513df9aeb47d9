//! Reads the table of cgroup texts in `tests/cgroups` and compares what the parser makes of them.
#![allow(clippy::unwrap_used)]

use aground_helper::container::placement;
use std::fs;
use std::path::Path;

const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
const C: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

struct Case {
    place: String,
    title: String,
    text: Vec<u8>,
    expected: Vec<u8>,
}

/// Placeholders and `%ff` as the README of the table says.
fn filled(text: &str) -> Vec<u8> {
    let pod = "12345678-9abc-def0-1234-56789abcdef0";
    let text = text
        .replace("<A>", A)
        .replace("<B>", B)
        .replace("<C>", C)
        .replace("<POD>", pod)
        .replace("<POD_>", &pod.replace('-', "_"))
        .replace("<STATIC>", &A[..32])
        .replace("<243>", &"x".repeat(243))
        .replace("<255>", &"x".repeat(255))
        .replace("<64k>", &"x".repeat(64 << 10));
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'%' {
            let digits = str::from_utf8(&tail[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    bytes
}

fn cases() -> Vec<Case> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cgroups");
    let mut found = Vec::new();
    for file in fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            read(&path, &mut found);
        }
    }
    found
}

fn read(path: &Path, found: &mut Vec<Case>) {
    let (mut title, mut text) = (String::new(), String::new());
    for (number, line) in fs::read_to_string(path).unwrap().lines().enumerate() {
        if let Some(comment) = line.strip_prefix("# ") {
            comment.clone_into(&mut title);
        } else if let Some(expected) = line.strip_prefix("=>") {
            assert!(
                !title.is_empty(),
                "{}:{number} has no title",
                path.display()
            );
            found.push(Case {
                place: format!("{}:{}", path.display(), number + 1),
                title: std::mem::take(&mut title),
                text: filled(&std::mem::take(&mut text)),
                expected: filled(expected.trim()),
            });
        } else if !line.is_empty() {
            text.push_str(line);
            text.push('\n');
        }
    }
    assert!(text.is_empty(), "{} ends within a case", path.display());
}

fn seen(text: &[u8]) -> String {
    let placement = placement(text);
    let mut words: Vec<String> = placement
        .named()
        .map(|container| {
            let pod = container.pod_uid.as_ref();
            let pod = pod.map(|pod| format!("@{pod}")).unwrap_or_default();
            format!("{}:{}{pod}", container.runtime, container.id)
        })
        .collect();
    words.extend(placement.pod_uid.map(|pod| format!("pod={pod}")));
    words.extend(placement.unit.map(|unit| format!("-{unit}")));
    words.join(" ")
}

#[test]
fn every_text_of_the_table_names_whose_it_is() {
    let cases = cases();
    assert!(cases.len() >= 120, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let seen = seen(&case.text);
        if seen.as_bytes() != case.expected {
            let expected = String::from_utf8_lossy(&case.expected);
            wrong.push(format!(
                "{} {}:\n  {seen:?}\n  {expected:?} expected",
                case.place, case.title
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

/// What must hold of any text: nothing panics, everything is bounded, claims are what they say.
fn check_any(text: &[u8]) {
    let placement = placement(text);
    assert!(placement.candidates.len() <= 32);
    for candidate in &placement.candidates {
        assert!(candidate.id.len() <= 260 && !candidate.id.contains('/'));
        assert!(!candidate.id.is_empty());
        assert!(candidate.path.starts_with('/') && candidate.path.len() <= 128 * 260);
    }
    if placement.named().next().is_some() {
        assert_eq!(placement.unit, None);
    }
}

/// A long deterministic walk from the table's texts through everything near them; the fuzz
/// target in `fuzz/` starts from the same place and goes further.
#[test]
fn texts_near_those_of_the_table_do_no_harm() {
    let cases = cases();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    let words: [&[u8]; 12] = [
        b"/",
        b":",
        b"\n",
        b"-",
        b".scope",
        b"docker",
        b"pod",
        b"..",
        b"\\x2d",
        b"\xff",
        b"libpod-",
        A.as_bytes(),
    ];
    for round in 0..20_000 {
        let mut text = cases[round % cases.len()].text.clone();
        text.truncate(2000);
        for _ in 0..=random(6) {
            let at = random(text.len());
            match random(4) {
                0 => text.truncate(at),
                1 => text
                    .splice(at..at, words[random(words.len())].iter().copied())
                    .for_each(drop),
                2 => text
                    .get_mut(at)
                    .into_iter()
                    .for_each(|byte| *byte = u8::try_from(random(256)).unwrap()),
                _ => {
                    let other = &cases[random(cases.len())].text;
                    text.splice(at..at, other.iter().copied().take(200))
                        .for_each(drop);
                }
            }
        }
        check_any(&text);
    }
}
