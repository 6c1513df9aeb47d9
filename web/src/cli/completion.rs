//! `completion` prints what makes a shell complete `aground`; the shell asks back with `__complete`.

use super::complete::complete;
use super::session::{Failure, Session};
use crate::client::{Client, Endpoint};
use clap::{Command, ValueEnum};
use std::ffi::OsString;
use std::io::Write;

/// Print the completion script of a shell: source <(aground completion bash)
#[derive(clap::Args)]
pub struct Arguments {
    /// Shell
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints the script.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let script = match arguments.shell {
        Shell::Bash => include_str!("../../completions/aground.bash"),
        Shell::Zsh => include_str!("../../completions/aground.zsh"),
        Shell::Fish => include_str!("../../completions/aground.fish"),
    };
    Ok(std::io::stdout().write_all(script.as_bytes())?)
}

/// Answers a shell's question, when the first of the program's arguments says that it is one.
pub fn answer(command: &Command, arguments: &[OsString]) -> Option<Result<(), Failure>> {
    let (question, words) = arguments.split_first()?;
    let descriptions = match question.to_str()? {
        "__complete" => true,
        "__completeNoDesc" => false,
        _ => return None,
    };
    let words = words.iter().map(|word| word.to_string_lossy().into_owned());
    Some(print(
        command.clone(),
        &words.collect::<Vec<_>>(),
        descriptions,
    ))
}

/// Prints what may come in the place of the last of `words`.
fn print(mut command: Command, words: &[String], descriptions: bool) -> Result<(), Failure> {
    let (host, words) = after_host(words);
    let host = host.or_else(|| std::env::var("AGROUND_HOST").ok());
    let endpoint = host.and_then(|host| host.parse().ok());
    let client = Client::new(endpoint.unwrap_or_else(Endpoint::local));
    let session = Session::new(client, "aground");
    command.build();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let answer = runtime.block_on(complete(&command, words, &session));
    Ok(std::io::stdout().write_all(answer.text(descriptions).as_bytes())?)
}

/// The daemon that a flag before the verb names, and the words from the verb on.
fn after_host(words: &[String]) -> (Option<String>, &[String]) {
    match words {
        [flag, host, rest @ ..] if flag == "--host" && !rest.is_empty() => {
            (Some(host.clone()), rest)
        }
        [flag, rest @ ..] if !rest.is_empty() => match flag.strip_prefix("--host=") {
            Some(host) => (Some(host.to_owned()), rest),
            None => (None, words),
        },
        _ => (None, words),
    }
}
