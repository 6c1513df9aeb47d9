//! Answers the shell's completion as Cobra programs do, which is what the Docker CLI asks of its
//! plugins: `__complete dumps ls --fil` gives lines of value, tab, description, and a last line
//! `:directive`.

use super::listing;
use super::session::Session;
use aground_store::query::{self, Values};
use aground_store::types::{DumpSummary, GroupSummary};
use clap::Command;
use std::fmt::Write;
use std::time::Duration;

/// `ShellCompDirectiveNoFileComp`: do not offer files.
const NO_FILES: u8 = 4;
/// `ShellCompDirectiveNoSpace`: the value goes on.
const NO_SPACE: u8 = 2;
/// `ShellCompDirectiveDefault`: the shell may offer files.
const FILES: u8 = 0;

/// What to offer and how the shell goes on.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    offers: Vec<(String, String)>,
    directive: u8,
}

impl Answer {
    fn of(offers: Vec<(String, String)>, directive: u8) -> Self {
        Self { offers, directive }
    }

    /// As the shell's script reads it.
    pub fn text(&self, descriptions: bool) -> String {
        let mut text = String::new();
        for (value, description) in &self.offers {
            let (value, description) = (
                super::text::visible(value),
                super::text::visible(description),
            );
            // Writing to a String cannot fail.
            let _ = if descriptions && !description.is_empty() {
                writeln!(text, "{value}\t{description}")
            } else {
                writeln!(text, "{value}")
            };
        }
        let _ = writeln!(text, ":{}", self.directive);
        text
    }
}

/// Completes the last of `words` below `command`.
pub async fn complete(command: &Command, words: &[String], session: &Session) -> Answer {
    let (last, before) = words
        .split_last()
        .map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let (command, rest) = descend(command, before);
    if last.starts_with('-') {
        return Answer::of(flags(command, last), NO_FILES);
    }
    if let Some(flag) = rest.last().and_then(|word| value_flag(command, word)) {
        return flag_values(&flag, last);
    }
    if rest.is_empty() && command.has_subcommands() {
        let verbs = subcommands(command, last);
        if !verbs.is_empty() || command.get_name() != "groups" {
            return Answer::of(verbs, NO_FILES);
        }
    }
    let positionals = rest.iter().filter(|word| !word.starts_with('-')).count();
    match (command.get_name(), positionals) {
        ("inspect" | "rm" | "pin" | "unpin", _) | ("bt" | "log" | "cp" | "debug" | "bundle", 0) => {
            Answer::of(dumps(session, last).await, NO_FILES)
        }
        ("cp", 1) => Answer::of(Vec::new(), FILES),
        (
            "explain" | "resolve" | "ignore" | "reopen" | "split" | "undo" | "tag" | "note"
            | "ticket" | "owner" | "theory" | "evidence" | "verdict" | "show" | "history",
            0,
        )
        | ("merge" | "diff", _) => Answer::of(groups(session, last).await, NO_FILES),
        _ => Answer::of(Vec::new(), NO_FILES),
    }
}

/// The subcommand that the words lead to, and the words after it.
fn descend<'a, 'w>(
    mut command: &'a Command,
    mut words: &'w [String],
) -> (&'a Command, &'w [String]) {
    while let Some((word, rest)) = words.split_first() {
        let Some(next) = command.find_subcommand(word) else {
            break;
        };
        (command, words) = (next, rest);
    }
    (command, words)
}

fn subcommands(command: &Command, prefix: &str) -> Vec<(String, String)> {
    let shown = command
        .get_subcommands()
        .filter(|c| !c.is_hide_set() && c.get_name().starts_with(prefix));
    let about = |c: &Command| c.get_about().map(ToString::to_string).unwrap_or_default();
    shown.map(|c| (c.get_name().to_owned(), about(c))).collect()
}

fn flags(command: &Command, prefix: &str) -> Vec<(String, String)> {
    let flags = command.get_arguments().filter_map(|argument| {
        let long = format!("--{}", argument.get_long()?);
        let help = argument
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        long.starts_with(prefix).then_some((long, help))
    });
    flags.collect()
}

/// The long name of the flag, when the word is one that wants a value in the next word.
fn value_flag(command: &Command, word: &str) -> Option<String> {
    let flag = command.get_arguments().find(|argument| {
        let long = argument
            .get_long()
            .is_some_and(|long| word.strip_prefix("--") == Some(long));
        let short = argument
            .get_short()
            .is_some_and(|short| word.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4])));
        (long || short) && argument.get_action().takes_values()
    })?;
    flag.get_long().map(ToOwned::to_owned)
}

fn flag_values(flag: &str, prefix: &str) -> Answer {
    let words: &[&str] = match flag {
        "filter" if !prefix.contains('=') => {
            let mut keys: Vec<_> = query::names()
                .filter(|key| key.starts_with(prefix))
                .collect();
            keys.sort_unstable();
            let about = |key: &str| query::field(key).map(|field| field.about.replace('`', ""));
            let offer = |key: &str| (format!("{key}="), about(key).unwrap_or_default());
            let keys = keys.into_iter().map(offer).collect();
            return Answer::of(keys, NO_FILES | NO_SPACE);
        }
        "filter" => return Answer::of(filter_values(prefix), NO_FILES),
        "format" => &["json", "table"],
        "since" | "until" => &["1h", "24h", "7d"],
        _ => &[],
    };
    let words = words.iter().filter(|word| word.starts_with(prefix));
    Answer::of(
        words
            .map(|word| ((*word).to_owned(), String::new()))
            .collect(),
        NO_FILES,
    )
}

/// `status=pending` and the like for a filter whose values are known.
fn filter_values(prefix: &str) -> Vec<(String, String)> {
    let (key, value) = prefix.split_once('=').unwrap_or((prefix, ""));
    let known = match query::field(key).map(|field| field.values) {
        Some(Values::OneOf(known)) => known,
        _ => &[],
    };
    let known = known.iter().filter(|word| word.starts_with(value));
    known
        .map(|word| (format!("{key}={word}"), String::new()))
        .collect()
}

/// A shell does not wait for a daemon that is slow.
const PATIENCE: Duration = Duration::from_secs(2);

async fn dumps(session: &Session, prefix: &str) -> Vec<(String, String)> {
    let fetched = listing::fetch::<DumpSummary>(session, "/api/v1/dumps", "", Some(100));
    let Ok(Ok(dumps)) = tokio::time::timeout(PATIENCE, fetched).await else {
        return Vec::new();
    };
    let offer = |dump: DumpSummary| {
        let what = dump.title.unwrap_or(dump.signal);
        (dump.id.short().to_owned(), format!("{} {what}", dump.name))
    };
    dumps
        .into_iter()
        .filter(|dump| dump.id.as_str().starts_with(prefix))
        .map(offer)
        .collect()
}

async fn groups(session: &Session, prefix: &str) -> Vec<(String, String)> {
    let fetched = listing::fetch::<GroupSummary>(session, "/api/v1/groups", "", Some(100));
    let Ok(Ok(groups)) = tokio::time::timeout(PATIENCE, fetched).await else {
        return Vec::new();
    };
    let groups = groups
        .into_iter()
        .filter(|group| group.id.starts_with(prefix));
    groups.map(|group| (group.id, group.title)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, Endpoint};

    async fn check(words: &[&str], expected: &str) {
        let nobody = Client::new(Endpoint::Unix("/nonexistent/api.sock".into()));
        let session = Session::new(nobody, "docker dumps");
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let mut command = super::super::dump_command("docker-dumps");
        command.build();
        let answer = complete(&command, &words, &session).await;
        assert_eq!(answer.text(false), expected, "{words:?}");
    }

    #[tokio::test]
    async fn shells_get_verbs_flags_and_keys() {
        let verbs = super::super::dump_command("docker-dumps");
        let names = verbs.get_subcommands().map(Command::get_name);
        let verbs = names.collect::<Vec<_>>().join("\n");
        assert!(verbs.starts_with("ls\ninspect\nbt\n"), "{verbs}");
        check(&[""], &format!("{verbs}\n:4\n")).await;
        check(&[], &format!("{verbs}\n:4\n")).await;
        check(&["l"], "ls\nlog\n:4\n").await;
        check(&["ls", "--fil"], "--filter\n:4\n").await;
        check(
            &["ls", "--filter", "im"],
            "image=\nimage_digest=\nimage_id=\n:6\n",
        )
        .await;
        check(&["ls", "-f", "si"], "signal=\nsince=\nsize=\n:6\n").await;
        check(
            &["ls", "-f", "state=re"],
            "state=resolved\nstate=regressed\n:4\n",
        )
        .await;
        check(&["ls", "--filter", "image=a"], ":4\n").await;
        check(&["ls", "--format", ""], "json\ntable\n:4\n").await;
        check(&["inspect", ""], ":4\n").await;
        check(&["cp", "0123", ""], ":0\n").await;
        check(&["groups", ""], "ls\nseen\nexplain\ndiff\ntry\nproposals\nresolve\nignore\nreopen\nmerge\ndistinct\nsplit\nundo\ntag\nnote\nticket\nowner\ntheory\nevidence\nverdict\nshow\nhistory\n:4\n").await;
        check(&["no-such", ""], ":4\n").await;
    }
}
