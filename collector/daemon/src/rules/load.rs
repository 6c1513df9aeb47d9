//! Reads rules and scripts: those that come with the program, then those of the rules directory.
//!
//! A mistake costs the rule or script it is in and no other; it is told with its place.

use aground_analyzer::script::{self, Script};
use aground_store::Query;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What comes with the program.
const SHIPPED_RULES: &str = include_str!("../../rules/known.toml");
const SHIPPED_SCRIPTS: [(&str, &str); 3] = [
    ("allocator", include_str!("../../rules/allocator.rhai")),
    ("libc", include_str!("../../rules/libc.rhai")),
    ("memory", include_str!("../../rules/memory.rhai")),
];
/// The largest file that is read.
const LARGEST: u64 = 1 << 20;
/// The most files of the directory.
const MOST_FILES: usize = 500;
/// How the first line of a script says which dumps it looks at.
const QUERY_LINE: &str = "// query:";

/// A rule as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, which the history of groups shows.
    pub name: String,
    /// Which crashes it is about.
    pub query: String,
    /// Tags for their groups.
    #[serde(default)]
    pub tag: Vec<String>,
    /// Tickets for their groups.
    #[serde(default)]
    pub ticket: Vec<String>,
    /// Who looks after them, where nobody does yet.
    #[serde(default)]
    pub owner: Option<String>,
    /// What is worth knowing of them.
    #[serde(default)]
    pub note: Option<String>,
    /// A state for groups that are open.
    #[serde(default)]
    pub state: Option<RuleState>,
}

/// A state that a rule may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleState {
    /// Nobody wants to hear of them.
    Ignored,
    /// They are fixed: the next crash is a regression.
    Resolved,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rule: Vec<toml::Spanned<toml::Value>>,
}

/// A rule that can be used.
#[derive(Clone, Debug)]
pub struct LoadedRule {
    /// As it is written.
    pub rule: Rule,
    /// Its query, read.
    pub query: Query,
    /// Where it is: a file, or `shipped`.
    pub place: String,
}

/// A script that can be used.
#[derive(Clone, Debug)]
pub struct LoadedScript {
    /// As it is written.
    pub script: Script,
    /// Which dumps it looks at; `None`: all.
    pub query: Option<Query>,
    /// Where it is: a file, or `shipped`.
    pub place: String,
}

/// A mistake, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file.
    pub place: String,
    /// The line, from 1; 0: not known.
    pub line: usize,
    /// What is wrong, on one line.
    pub message: String,
}

/// All that was read.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    /// Rules, in the order in which they act.
    pub rules: Vec<LoadedRule>,
    /// Scripts by name.
    pub scripts: Vec<LoadedScript>,
    /// What could not be used.
    pub problems: Vec<Problem>,
}

impl RuleSet {
    /// Reads what comes with the program, when that is wanted, and a directory, which may be
    /// absent.
    pub fn load(shipped: bool, directory: Option<&Path>) -> Self {
        let mut set = Self::default();
        if shipped {
            set.take_rules("shipped", SHIPPED_RULES);
            for (name, text) in SHIPPED_SCRIPTS {
                set.take_script("shipped", name, text);
            }
        }
        if let Some(directory) = directory {
            set.take_directory(directory);
        }
        set
    }

    fn take_directory(&mut self, directory: &Path) {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
            Err(error) => return self.complain(&shown(directory), 0, &error.to_string()),
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .take(MOST_FILES)
            .collect();
        paths.sort();
        for path in paths {
            let kind = path.extension().and_then(|kind| kind.to_str());
            let name = path.file_stem().and_then(|name| name.to_str());
            let (Some(kind @ ("toml" | "rhai")), Some(name)) = (kind, name) else {
                continue;
            };
            let place = shown(&path);
            match read(&path) {
                Ok(text) if kind == "toml" => self.take_rules(&place, &text),
                Ok(text) => self.take_script(&place, name, &text),
                Err(why) => self.complain(&place, 0, &why),
            }
        }
    }

    fn take_rules(&mut self, place: &str, text: &str) {
        let line_at = |offset: usize| {
            let before = text.get(..offset).unwrap_or_default();
            before.matches('\n').count() + 1
        };
        let file: File = match toml::from_str(text) {
            Ok(file) => file,
            Err(error) => {
                let line = error.span().map_or(0, |span| line_at(span.start));
                return self.complain(place, line, error.message());
            }
        };
        for written in file.rule {
            let line = line_at(written.span().start);
            match usable(written.into_inner()) {
                Ok((rule, query)) => {
                    self.rules.retain(|known| known.rule.name != rule.name);
                    let place = place.to_owned();
                    self.rules.push(LoadedRule { rule, query, place });
                }
                Err(why) => self.complain(place, line, &why),
            }
        }
    }

    fn take_script(&mut self, place: &str, name: &str, text: &str) {
        if let Err(mistake) = script::check(text) {
            return self.complain(place, mistake.line, &mistake.message);
        }
        let first = text.lines().next().unwrap_or_default();
        let query = match first.strip_prefix(QUERY_LINE).map(Query::parse) {
            Some(Err(error)) => return self.complain(place, 1, &error.to_string()),
            Some(Ok(query)) => Some(query),
            None => None,
        };
        self.scripts.retain(|known| known.script.name != name);
        self.scripts.push(LoadedScript {
            script: Script {
                name: name.to_owned(),
                text: text.to_owned(),
            },
            query,
            place: place.to_owned(),
        });
    }

    fn complain(&mut self, place: &str, line: usize, message: &str) {
        self.problems.push(Problem {
            place: place.to_owned(),
            line,
            message: message.split_whitespace().collect::<Vec<_>>().join(" "),
        });
    }
}

fn usable(written: toml::Value) -> Result<(Rule, Query), String> {
    let rule: Rule = written
        .try_into()
        .map_err(|error: toml::de::Error| error.message().to_owned())?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if rule.name.is_empty() || rule.name.len() > 100 || !rule.name.chars().all(plain) {
        return Err("a rule's name is up to 100 letters, digits, - _ .".to_owned());
    }
    let query = Query::parse(&rule.query)
        .map_err(|error| format!("rule {}: the query: {error}", rule.name))?;
    if query == Query::default() {
        return Err(format!("rule {}: the query is empty", rule.name));
    }
    Ok((rule, query))
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text))
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > LARGEST {
        return Err(format!("it is larger than {LARGEST} bytes"));
    }
    Ok(text)
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_comes_with_the_program_can_be_used() {
        let set = RuleSet::load(true, None);
        assert_eq!(set.problems, []);
        assert!(set.rules.len() >= 9 && set.scripts.len() == 3);
    }

    #[test]
    fn a_mistake_costs_its_own_rule_alone_and_is_told_with_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        write(
            "a.toml",
            "[[rule]]\nname = \"good\"\nquery = \"cause:abort\"\ntag = [\"x\"]\n\n[[rule]]\nname = \"bad\"\nquery = \"nonsense:1\"\n\n[[rule]]\nname = \"odd\"\nquery = \"cause:x\"\ncolour = 1\n",
        );
        write("b.toml", "[[rule]\n");
        write("c.rhai", "let x = ;\n");
        write("d.rhai", "// query: cause:\nproperty(\"a\", 1);\n");
        write("e.rhai", "// query: cause:abort\nproperty(\"a\", 1);\n");
        write(
            "heap-corruption.toml",
            "[[rule]]\nname = \"heap-corruption\"\nquery = \"cause:heap*\"\n",
        );
        write("README", "not a rule");
        let set = RuleSet::load(true, Some(directory.path()));
        let problems: Vec<(String, usize)> = set
            .problems
            .iter()
            .map(|problem| {
                let (_, name) = problem.place.rsplit_once('/').unwrap();
                (name.to_owned(), problem.line)
            })
            .collect();
        let expected = [
            ("a.toml", 6),
            ("a.toml", 10),
            ("b.toml", 1),
            ("c.rhai", 1),
            ("d.rhai", 1),
        ];
        assert_eq!(
            problems,
            expected.map(|(name, line)| (name.to_owned(), line))
        );
        assert!(set.rules.iter().any(|known| known.rule.name == "good"));
        assert!(
            set.scripts
                .iter()
                .any(|known| known.script.name == "e" && known.query.is_some())
        );
        let heap = set
            .rules
            .iter()
            .filter(|known| known.rule.name == "heap-corruption");
        assert_eq!(
            heap.map(|known| known.rule.tag.len()).collect::<Vec<_>>(),
            [0]
        );
        assert!(
            RuleSet::load(false, Some(Path::new("/nowhere")))
                .problems
                .is_empty()
        );
    }
}
