//! docs/CLI.md shows what the verbs print. `AGROUND_WRITE_DOCS=1` writes it anew.

use aground_testkit::docker::{Container, require_engine};
use aground_testkit::house::root;
use aground_testkit::programs::RELEASE;
use aground_testkit::run::{finish, run};
use aground_testkit::site::Site;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

/// What a name or id is called in the document.
struct Names(Vec<(String, &'static str)>);

impl Names {
    /// As the document has it. What is shorter there is filled up, so that columns stay columns.
    fn shown(&self, text: &str) -> String {
        // A shorter beginning may be part of anything.
        let (long, short): (Vec<_>, Vec<_>) = self.0.iter().partition(|(_, shown)| shown.len() > 4);
        let text = long.iter().fold(text.to_owned(), |text, (real, shown)| {
            let wide = format!("{shown:<width$}  ", width = real.len());
            text.replace(&format!("{real}  "), &wide)
                .replace(real, shown)
        });
        let words = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric());
        let word = |word: &str| {
            let end = word
                .trim_end_matches(|c: char| !c.is_ascii_alphanumeric())
                .len();
            let (bare, rest) = word.split_at(end);
            let known = short.iter().find(|(real, _)| real == bare);
            known.map_or(word.to_owned(), |(_, shown)| format!("{shown}{rest}"))
        };
        words.map(word).collect()
    }

    /// As this machine has it.
    fn real(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (real, shown)| {
            text.replace(shown, real)
        })
    }
}

/// Ids also go by their beginnings.
fn beginnings(real: &str, shown: &'static str) -> impl Iterator<Item = (String, &'static str)> {
    let lengths = [shown.len(), 12, 8, 4];
    lengths
        .map(|length| (real[..length].to_owned(), &shown[..length]))
        .into_iter()
}

const DUMPS: [&str; 2] = [
    "3f2a71c09be45d0a8c1e96f0b7a2d453",
    "8e0257d3a19c4bf6927d10e4c85fa6b1",
];
const GROUPS: [&str; 2] = ["51ac09d2e7f4b836", "9d7d40b6c2a81e5f"];

/// Equal texts say the same but for times, sizes, addresses, counts, and the width of columns.
fn essence(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let line = line.replace("Less than a second", "0 seconds");
        let words = line.split_whitespace().map(|word| {
            if word.contains(|c: char| c.is_ascii_digit()) {
                "0"
            } else {
                match word {
                    "second" | "seconds" | "minute" | "minutes" => "a-while",
                    "About" => "0",
                    _ if word
                        .trim_matches(['─', '-', '█', '▁', '▂', '▃', '▄', '▅', '▆', '▇'])
                        .is_empty() =>
                    {
                        "-"
                    }
                    _ => word,
                }
            }
        });
        lines.push(words.collect::<Vec<_>>().join(" "));
    }
    lines.join("\n").replace("0 a a-while", "0 a-while")
}

#[test]
fn the_document_shows_what_the_verbs_print() {
    require_engine();
    let site = Site::started();
    let containers = ["shop-api", "payments"].map(|name| {
        let tag = format!("{name}:1.42.0");
        run("docker", &["tag", &RELEASE.image(name).reference, &tag]).ok();
        (Container::named(name), tag)
    });
    {
        let _claim = site.collect();
        for (index, (container, tag)) in containers.iter().enumerate() {
            container.run(tag, &[]);
            // One after the other, also in the list of events.
            site.wait_for(index + 1, &[]);
        }
    }
    let mut dumps = site.wait_for(2, &[]);
    dumps.sort_by_key(|dump| dump["summary"]["container"]["name"] != "shop-api");
    let mut names = Vec::new();
    for (index, dump) in dumps.iter().enumerate() {
        let text = |key: &str| dump["summary"][key].as_str().unwrap().to_owned();
        names.extend(beginnings(&text("id"), DUMPS[index]));
        names.extend(beginnings(&text("group"), GROUPS[index]));
    }
    names.sort_by_key(|(real, _)| std::cmp::Reverse(real.len()));
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    names.push((host.trim().to_owned(), "node-1"));
    let names = Names(names);

    let docker = site.path().join("docker-config");
    fs::create_dir_all(docker.join("cli-plugins")).unwrap();
    let plugin = docker.join("cli-plugins/docker-dumps");
    symlink(site.program("docker-dumps"), plugin).unwrap();
    let ask = |line: &str| {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("{line} 2>&1"))
            .current_dir(site.path());
        shell
            .env("DOCKER_CONFIG", &docker)
            .env("AGROUND_HOST", site.host());
        let outcome = finish(&mut shell);
        outcome
            .stdout
            .replace(&site.path().display().to_string(), "/tmp/aground")
    };

    let path = root().join("docs/CLI.md");
    let document = fs::read_to_string(&path).unwrap();
    let mut written = String::new();
    let (mut wrong, mut asked) = (Vec::new(), 0);
    let mut lines = document.lines().peekable();
    let mut inside = false;
    while let Some(line) = lines.next() {
        written.push_str(line);
        written.push('\n');
        if line.starts_with("```") {
            inside = line == "```console";
        }
        let Some(command) = line.strip_prefix("$ ").filter(|_| inside) else {
            continue;
        };
        let mut expected = String::new();
        while let Some(output) = lines.next_if(|next| !next.starts_with("$ ") && *next != "```") {
            expected.push_str(output);
            expected.push('\n');
        }
        let got = names.shown(&ask(&names.real(command)));
        asked += 1;
        if essence(&got) != essence(&expected) {
            wrong.push(format!("$ {command}\nexpected:\n{expected}got:\n{got}"));
        }
        written.push_str(&got);
    }
    if std::env::var_os("AGROUND_WRITE_DOCS").is_some() {
        fs::write(&path, written).unwrap();
        return;
    }
    assert!(asked > 30, "{asked} lines");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
