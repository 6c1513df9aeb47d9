//! The rules of the house: what must stay where, and who may depend on whom.

use aground_testkit::house::{files, root};
use aground_testkit::run::finish;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

fn cargo(arguments: &[&str]) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    finish(
        Command::new(cargo)
            .args(arguments)
            .args(["--locked", "--offline"])
            .current_dir(root()),
    )
    .ok()
}

/// Rust sources of ours with their text; paths from the top of the repository.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for package in ["collector", "analyzer", "web", "tests"] {
        for file in files(&root().join(package)) {
            if file.extension().is_some_and(|extension| extension == "rs") {
                let path = file
                    .strip_prefix(root())
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.push((path, std::fs::read_to_string(&file).unwrap()));
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

#[test]
fn the_top_level_is_what_a_newcomer_expects() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "collector",
        "analyzer",
        "web",
        "migrations",
        "deploy",
        "tests",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "docs",
    ];
    let entries: BTreeSet<String> = std::fs::read_dir(root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect();
    assert_eq!(entries, allowed.map(str::to_owned).into());
}

#[test]
fn what_the_kernel_runs_links_no_service() {
    let tree = cargo(&[
        "tree",
        "-p",
        "aground-helper",
        "-e",
        "normal",
        "--prefix",
        "none",
    ]);
    for forbidden in [
        "tokio",
        "rusqlite",
        "libsqlite3-sys",
        "hyper",
        "axum",
        "http",
        "gimli",
        "addr2line",
        "object",
    ] {
        let linked = tree
            .lines()
            .find(|line| line.split(' ').next() == Some(forbidden));
        assert_eq!(linked, None, "{tree}");
    }
}

#[test]
fn the_analyzer_is_pure() {
    let tree = cargo(&[
        "tree",
        "-p",
        "aground-analyzer",
        "-e",
        "normal",
        "--prefix",
        "none",
    ]);
    for forbidden in [
        "tokio",
        "rusqlite",
        "hyper",
        "axum",
        "aground-helper",
        "aground-store",
        "aground-daemon",
    ] {
        let linked = tree
            .lines()
            .find(|line| line.split(' ').next() == Some(forbidden));
        assert_eq!(linked, None, "{tree}");
    }
}

#[test]
fn packages_depend_on_each_other_as_designed() {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    let mut arrows = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let ours: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["path"].is_string() && dependency["kind"].is_null())
            .map(|dependency| dependency["name"].as_str().unwrap())
            .collect();
        arrows.insert(package["name"].as_str().unwrap(), ours);
    }
    let expected: [(&str, &[&str]); 8] = [
        ("aground-sandbox", &[]),
        ("aground-helper", &["aground-sandbox"]),
        ("aground-analyzer", &["aground-sandbox"]),
        ("aground-testkit", &[]),
        (
            "aground-import",
            &["aground-analyzer", "aground-helper", "aground-sandbox"],
        ),
        ("aground-store", &["aground-analyzer", "aground-helper"]),
        (
            "aground-daemon",
            &[
                "aground-analyzer",
                "aground-helper",
                "aground-import",
                "aground-store",
            ],
        ),
        (
            "aground-web",
            &[
                "aground-analyzer",
                "aground-daemon",
                "aground-helper",
                "aground-store",
            ],
        ),
    ];
    assert_eq!(
        arrows.keys().copied().collect::<Vec<_>>(),
        BTreeMap::from(expected).keys().copied().collect::<Vec<_>>()
    );
    for (package, allowed) in expected {
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert!(
            arrows[package].is_subset(&allowed),
            "{package} depends on {:?}",
            arrows[package]
        );
    }
}

#[test]
fn sql_is_only_in_the_store() {
    let words = [
        "rusqlite",
        "SELECT ",
        "INSERT INTO ",
        "DELETE FROM ",
        "CREATE TABLE ",
    ];
    for (path, text) in sources() {
        if path.starts_with("collector/store/") || path == "tests/it/tidy.rs" {
            continue;
        }
        for word in words {
            assert!(!text.contains(word), "{path} has {word:?}");
        }
    }
}

#[test]
fn unsafe_code_is_in_one_file_of_a_package_and_says_why() {
    for (path, text) in sources() {
        let blocks = text.matches(concat!("unsafe", " {")).count();
        if blocks == 0 {
            continue;
        }
        let file = path.rsplit('/').next().unwrap();
        assert!(
            matches!(file, "sys.rs" | "mapped.rs" | "sandbox.rs"),
            "{path} has unsafe code"
        );
        let reasons = text.matches("SAFETY").count();
        assert!(
            reasons >= blocks,
            "{path}: {blocks} unsafe blocks, {reasons} reasons"
        );
    }
}

#[test]
fn nothing_is_left_for_later() {
    let unfinished = [
        concat!("#[ign", "ore"),
        concat!("tod", "o!("),
        concat!("unimpl", "emented!("),
        concat!("FIX", "ME"),
    ];
    for (path, text) in sources() {
        for word in unfinished {
            assert!(!text.contains(word), "{path} has {word}");
        }
    }
}

#[test]
fn files_open_with_a_sentence() {
    for (path, text) in sources() {
        assert!(
            text.starts_with("//!"),
            "{path} does not say what it is for"
        );
    }
}

/// The machine has one `core_pattern`: only tests that run one at a time may touch it.
#[test]
fn core_pattern_is_claimed_only_by_serial_tests() {
    for (path, text) in sources() {
        let claims = text.contains(concat!("CorePattern::", "claim"))
            || text.contains(concat!("site", ".collect()"));
        let may = ["tests/it/kernel/", "tests/src/", "tests/bench/"];
        let may = may.iter().any(|place| path.starts_with(place));
        assert!(
            !claims || may,
            "{path} claims core_pattern outside tests/it/kernel"
        );
    }
    let groups = std::fs::read_to_string(root().join(".config/nextest.toml")).unwrap();
    assert!(
        groups.contains("core-pattern = { max-threads = 1 }")
            && groups.contains("test(/^kernel::/)"),
        "{groups}"
    );
}

#[test]
fn every_path_the_documents_name_exists() {
    let mut documents = vec![root().join("README.md")];
    documents.extend(
        files(&root().join("docs"))
            .into_iter()
            .filter(|file| file.extension().is_some_and(|ext| ext == "md")),
    );
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for word in text.split(|c: char| c.is_whitespace() || "`()[]\"',;".contains(c)) {
            let word = word.trim_start_matches("./").trim_end_matches(['.', ':']);
            let ours = [
                "deploy/",
                "tests/",
                "docs/",
                "collector/",
                "analyzer/",
                "web/",
                "migrations/",
                ".ci/",
                ".config/",
            ];
            if !ours.iter().any(|top| word.starts_with(top)) || word.contains(['*', '<', '{', '…'])
            {
                continue;
            }
            let path: PathBuf = root().join(word.split('#').next().unwrap());
            assert!(
                path.exists(),
                "{} names {word}, which does not exist",
                document.display()
            );
        }
    }
}
