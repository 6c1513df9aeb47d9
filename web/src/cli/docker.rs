//! `docker dumps`: the Docker CLI's plugin protocol (docker/cli, cli-plugins).
//!
//! The CLI runs `docker-dumps docker-cli-plugin-metadata` to learn about us, and
//! `docker-dumps <its own arguments>` to run us: global flags come before the word `dumps`.

use super::contexts::{self, Globals, variable};
use super::session::{Failure, Session};
use super::usage::{parse, print_help};
use super::{complete, dump_command, finish, hook, run_dump_verb};
use crate::client::{Client, Endpoint};
use clap::FromArgMatches;
use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

const PROGRAM: &str = "docker dumps";
/// After a command of its own, the CLI asks with this word.
const HOOK: &str = "docker-cli-plugin-hooks";

/// What the Docker CLI, or a person, asks of the plugin.
#[derive(Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Who are you?
    Metadata,
    /// Complete the last word.
    Complete {
        /// With a description of each offer.
        descriptions: bool,
        /// The words after `dumps`.
        words: Vec<OsString>,
    },
    /// What is there to say after a command of the CLI?
    Hook {
        /// Docker's global flags that matter here.
        globals: Globals,
    },
    /// Do something.
    Run {
        /// Docker's global flags that matter here.
        globals: Globals,
        /// The words after `dumps`.
        words: Vec<OsString>,
    },
    /// The command line is wrong before it comes to us.
    Wrong(String),
}

/// Runs `docker-dumps` with the process's arguments.
pub fn run() -> ExitCode {
    match read(env::args_os().skip(1)) {
        Invocation::Metadata => {
            println!("{}", metadata());
            ExitCode::SUCCESS
        }
        Invocation::Complete {
            descriptions,
            words,
        } => finish(PROGRAM, print_completion(&words, descriptions)),
        Invocation::Hook { globals } => {
            // Silent whatever happens: it is somebody else's command.
            if let Some(said) = endpoint(&globals).ok().and_then(hook::answer) {
                println!("{said}");
            }
            ExitCode::SUCCESS
        }
        Invocation::Run { globals, words } => run_verb(&globals, words),
        Invocation::Wrong(message) => finish(PROGRAM, Err(Failure::Message(message))),
    }
}

/// The CLI below 28.4.1 accepts only schema version 0.1.0.
fn metadata() -> serde_json::Value {
    serde_json::json!({
        "SchemaVersion": "0.1.0",
        "Vendor": "Aground",
        "Version": env!("CARGO_PKG_VERSION"),
        "ShortDescription": "Crash dumps of containers: what died, where and why",
    })
}

/// Understands the arguments: those of the Docker CLI, or of a person who runs the program itself.
pub fn read(arguments: impl Iterator<Item = OsString>) -> Invocation {
    let mut words: VecDeque<OsString> = arguments.collect();
    if words
        .front()
        .is_some_and(|word| word == "docker-cli-plugin-metadata")
    {
        return Invocation::Metadata;
    }
    let mut globals = Globals::default();
    while let Some(word) = words
        .front()
        .and_then(|word| word.to_str())
        .map(ToOwned::to_owned)
    {
        let mut values = words
            .iter()
            .skip(1)
            .map(|value| value.to_string_lossy().into_owned());
        match read_global(&word, &mut values, &mut globals) {
            Ok(Some(used)) => drop(words.drain(..used)),
            Ok(None) => break,
            Err(message) => return Invocation::Wrong(message),
        }
    }
    let first = words
        .front()
        .and_then(|word| word.to_str())
        .unwrap_or_default()
        .to_owned();
    match first.as_str() {
        "__complete" | "__completeNoDesc" => Invocation::Complete {
            descriptions: first == "__complete",
            words: after_name(words.split_off(1)),
        },
        "help" => {
            let mut words = after_name(words.split_off(1));
            words.push("--help".into());
            Invocation::Run { globals, words }
        }
        _ => match after_name(words) {
            words if words.first().is_some_and(|word| word == HOOK) => Invocation::Hook { globals },
            words => Invocation::Run { globals, words },
        },
    }
}

/// The words after the plugin's own name, which is missing when a person runs the program.
fn after_name(mut words: VecDeque<OsString>) -> Vec<OsString> {
    if words.front().is_some_and(|word| word == "dumps") {
        words.pop_front();
    }
    words.into()
}

/// Reads one of Docker's global flags; the number of words it took, `None` if it is none.
fn read_global(
    word: &str,
    values: &mut dyn Iterator<Item = String>,
    globals: &mut Globals,
) -> Result<Option<usize>, String> {
    const ALONE: [&str; 4] = ["-D", "--debug", "--tls", "--tlsverify"];
    const VALUED: [&str; 9] = [
        "--config",
        "--log-level",
        "--tlscacert",
        "--tlscert",
        "--tlskey",
        "--host",
        "--context",
        "-l",
        "-H",
    ];
    let (name, attached) = match word.split_once('=') {
        Some((name, value)) if name.starts_with('-') => (name, Some(value.to_owned())),
        _ => split_short(word),
    };
    if ALONE.contains(&name) {
        return Ok(Some(1));
    }
    if !VALUED.contains(&name) && name != "-c" {
        return Ok(None);
    }
    let used = if attached.is_some() { 1 } else { 2 };
    let missing = || format!("flag needs an argument: {name}");
    let value = attached.or_else(|| values.next()).ok_or_else(missing)?;
    match name {
        "--config" => globals.config = Some(value.into()),
        "--host" | "-H" => globals.host = Some(value),
        "--context" | "-c" => globals.context = Some(value),
        _ => {}
    }
    Ok(Some(used))
}

/// `-lerror` is `-l error`.
fn split_short(word: &str) -> (&str, Option<String>) {
    match word.split_at_checked(2) {
        Some((name @ ("-l" | "-H" | "-c"), value)) if !value.is_empty() => {
            (name, Some(value.to_owned()))
        }
        _ => (word, None),
    }
}

fn run_verb(globals: &Globals, words: Vec<OsString>) -> ExitCode {
    let command = dump_command("docker-dumps");
    let matches = match parse(&command, words.into_iter(), PROGRAM) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    if matches.subcommand_name().is_none() {
        return print_help(command);
    }
    let verb = super::DumpVerb::from_arg_matches(&matches);
    let result = verb
        .map_err(|error| Failure::Message(error.to_string()))
        .and_then(|verb| run_dump_verb(verb, endpoint(globals)?, PROGRAM));
    finish(PROGRAM, result)
}

fn print_completion(words: &[OsString], descriptions: bool) -> Result<(), Failure> {
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let endpoint = endpoint(&Globals::default()).unwrap_or_else(|_| Endpoint::local());
    let session = Session::new(Client::new(endpoint), PROGRAM);
    let mut command = dump_command("docker-dumps");
    command.build();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(complete::complete(&command, &words, &session));
    print!("{}", answer.text(descriptions));
    Ok(())
}

/// The daemon to ask: `AGROUND_HOST`, or what belongs to the engine the Docker CLI works with.
fn endpoint(globals: &Globals) -> Result<Endpoint, Failure> {
    let chosen = crate::client::credentials::use_for_all(None, None);
    chosen.map_err(|error| Failure::Message(error.to_string()))?;
    match variable("AGROUND_HOST") {
        Some(host) => host
            .parse()
            .map_err(|error| Failure::Message(format!("AGROUND_HOST: {error}"))),
        None => contexts::daemon_of_docker(globals).map_err(Failure::Message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> impl Iterator<Item = OsString> {
        text.split(' ')
            .filter(|word| !word.is_empty())
            .map(OsString::from)
    }

    fn check_run(arguments: &str, expected: &str) -> Globals {
        match read(words(arguments)) {
            Invocation::Run {
                globals,
                words: got,
            } => {
                assert_eq!(got, words(expected).collect::<Vec<_>>(), "{arguments}");
                globals
            }
            other => panic!("{arguments}: {other:?}"),
        }
    }

    /// Argument lists as the Docker CLI 28.2 passes them.
    #[test]
    fn dockers_arguments_are_understood() {
        check_run("dumps ls -q --filter a=b", "ls -q --filter a=b");
        check_run("dumps", "");
        check_run("help dumps", "--help");
        check_run("help dumps ls", "ls --help");
        check_run("dumps --help", "--help");
        check_run("dumps ls --help", "ls --help");
        let globals = check_run("--debug --context default -l error dumps ls", "ls");
        assert_eq!(globals.context.as_deref(), Some("default"));
        let globals = check_run("-c nosuch --config /c dumps ls -c x", "ls -c x");
        assert_eq!(
            (globals.context.as_deref(), globals.config),
            (Some("nosuch"), Some("/c".into()))
        );
        let globals = check_run("--host=tcp://a:1 --tlsverify -lerror -D dumps ls", "ls");
        assert_eq!(globals.host.as_deref(), Some("tcp://a:1"));
    }

    #[test]
    fn people_may_leave_out_the_name() {
        check_run("ls -q", "ls -q");
        check_run("--help", "--help");
        check_run("", "");
    }

    #[test]
    fn the_protocols_own_words() {
        assert_eq!(
            read(words("docker-cli-plugin-metadata")),
            Invocation::Metadata
        );
        let complete = |descriptions, expected| Invocation::Complete {
            descriptions,
            words: words(expected).collect(),
        };
        assert_eq!(
            read(words("__complete dumps ls --fil")),
            complete(true, "ls --fil")
        );
        assert_eq!(
            read(words("__completeNoDesc dumps ls")),
            complete(false, "ls")
        );
        assert_eq!(
            read(words("dumps docker-cli-plugin-hooks {\"RootCmd\":\"run\"}")),
            Invocation::Hook {
                globals: Globals::default(),
            }
        );
        assert!(matches!(read(words("--host")), Invocation::Wrong(_)));
    }

    #[test]
    fn metadata_is_what_every_cli_accepts() {
        let metadata = metadata();
        assert_eq!(metadata["SchemaVersion"], "0.1.0");
        assert!(
            metadata["Vendor"]
                .as_str()
                .is_some_and(|vendor| !vendor.is_empty())
        );
    }
}
