//! The command line: a file per verb; [`DumpVerb`] is what `aground` and `docker dumps` share.

pub mod analyze;
pub mod audit;
pub mod bt;
pub mod bundle;
pub mod compare;
pub mod complete;
pub mod completion;
pub mod config;
pub mod contexts;
pub mod cp;
mod crash_files;
pub mod debug;
pub mod decide;
pub mod dial_stdio;
pub mod docker;
pub mod doctor;
pub mod events;
pub mod governor;
mod grouping;
pub mod groups;
pub mod hook;
pub mod hosts;
pub mod human;
pub mod images;
pub mod import;
pub mod inspect;
pub mod install;
pub mod investigations;
pub mod listing;
pub mod log;
pub mod ls;
pub mod man;
pub mod moment;
pub mod narrowing;
pub mod notify;
pub mod open;
pub mod pin;
pub mod ping;
pub mod plugin;
mod private_core;
pub mod progress;
pub mod prune;
pub mod regroup;
pub mod reindex;
pub mod report;
pub mod rm;
pub mod rules;
pub mod searches;
pub mod seen;
pub mod serve;
pub mod session;
pub mod status;
pub mod symbols;
pub mod table;
pub mod template;
pub mod text;
pub mod token;
pub mod top;
pub mod uninstall;
mod upload;
pub mod usage;
pub mod version;
pub mod whoami;

use crate::client::{Client, Endpoint, InvalidEndpoint, credentials};
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use session::{Failure, Session};
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use usage::{parse, print_help, refuse};

/// Docker's help layout.
pub const HELP: &str = "\
Usage:  {usage}

{about}

{all-args}
{after-help}";

/// Explain why containers crash
#[derive(Parser)]
#[command(name = "aground", version, help_template = HELP, disable_help_subcommand = true)]
struct Aground {
    /// Daemon to talk to
    #[arg(
        help = "Daemon to talk to: unix:///path/to/api.sock, http://127.0.0.1:7400, https://host or ssh://user@host",
        long,
        global = true,
        value_name = "ADDRESS",
        env = "AGROUND_HOST",
        hide_env = true
    )]
    host: Option<String>,
    /// Docker context whose machine's daemon to talk to
    #[arg(long, global = true, value_name = "NAME")]
    context: Option<String>,
    /// Access token
    #[arg(
        help = "File with the access token for a remote daemon (AGROUND_TOKEN holds one itself)",
        long,
        global = true,
        value_name = "FILE"
    )]
    token_file: Option<PathBuf>,
    /// Certificate authority to trust for https://, in place of the machine's own
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "AGROUND_CA",
        hide_env = true
    )]
    ca: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    #[command(flatten)]
    Dump(Box<DumpVerb>),
    #[command(help_template = HELP)]
    Analyze(analyze::Arguments),
    #[command(help_template = HELP)]
    Open(open::Arguments),
    #[command(help_template = HELP)]
    Doctor(doctor::Arguments),
    #[command(help_template = HELP)]
    Ping(ping::Arguments),
    #[command(help_template = HELP)]
    Serve(serve::Arguments),
    #[command(help_template = HELP, subcommand_required = true, arg_required_else_help = true)]
    Config(config::Arguments),
    #[command(help_template = HELP)]
    Reindex(reindex::Arguments),
    #[command(help_template = HELP)]
    Install(install::Arguments),
    #[command(help_template = HELP)]
    Uninstall(uninstall::Arguments),
    #[command(help_template = HELP, subcommand_required = true, arg_required_else_help = true)]
    Token(token::Arguments),
    #[command(help_template = HELP)]
    Audit(audit::Arguments),
    #[command(help_template = HELP, hide = true)]
    DialStdio(dial_stdio::Arguments),
    #[command(help_template = HELP)]
    Version(version::Arguments),
    #[command(help_template = HELP)]
    Whoami(whoami::Arguments),
    #[command(help_template = HELP)]
    Completion(completion::Arguments),
    #[command(help_template = HELP)]
    Man(man::Arguments),
}

/// The verbs about dumps: `aground …` and `docker dumps …`.
#[derive(Subcommand)]
pub enum DumpVerb {
    /// List dumps
    #[command(help_template = HELP, visible_alias = "list")]
    Ls(ls::Arguments),
    /// Show everything known about dumps as JSON
    #[command(help_template = HELP)]
    Inspect(inspect::Arguments),
    /// Show why a process died and where: cause and backtrace
    #[command(help_template = HELP)]
    Bt(bt::Arguments),
    /// Compare two crashes: stacks, images, hosts, environments, modules
    #[command(help_template = HELP)]
    Compare(compare::Arguments),
    /// Show what came back, what is new, and what crashes most
    #[command(help_template = HELP)]
    Top(top::Arguments),
    /// List crashes by cause, or explain a group
    #[command(help_template = HELP, args_conflicts_with_subcommands = true)]
    Groups(groups::Arguments),
    /// Count crashes by fields: report image,cause
    #[command(help_template = HELP)]
    Report(report::Arguments),
    /// List hosts by what crashes there, and tell suspect hardware
    #[command(help_template = HELP)]
    Hosts(hosts::Arguments),
    /// List builds of images by what crashes in them
    #[command(help_template = HELP)]
    Images(images::Arguments),
    /// List theories about causes across all groups
    #[command(help_template = HELP)]
    Investigations(investigations::Arguments),
    /// Give queries names: --saved NAME asks them again
    #[command(help_template = HELP, args_conflicts_with_subcommands = true)]
    Searches(searches::Arguments),
    /// Follow what happens to dumps, and replay what happened
    #[command(help_template = HELP)]
    Events(events::Arguments),
    /// Copy a core to a file, a directory or standard output
    #[command(help_template = HELP)]
    Cp(cp::Arguments),
    /// Open a dump in gdb, lldb or delve with its files and symbols
    #[command(help_template = HELP)]
    Debug(debug::Arguments),
    /// Put all that explains a crash into one file, for aground open elsewhere
    #[command(help_template = HELP)]
    Bundle(bundle::Arguments),
    /// Take in cores from files, directories or standard input
    #[command(help_template = HELP)]
    Import(import::Arguments),
    /// Show the end of the container's log as it was when the process died
    #[command(help_template = HELP, visible_alias = "logs")]
    Log(log::Arguments),
    /// Remove dumps
    #[command(help_template = HELP)]
    Rm(rm::Arguments),
    /// Keep dumps whatever the quota and their age
    #[command(help_template = HELP)]
    Pin(pin::Arguments),
    /// Let go of pinned dumps
    #[command(help_template = HELP)]
    Unpin(pin::Arguments),
    /// Give up dumps or their memory: what the limits demand, or all that matches
    #[command(help_template = HELP)]
    Prune(prune::Arguments),
    /// Show crash loops that keep less memory, and let them keep it again
    #[command(help_template = HELP, args_conflicts_with_subcommands = true)]
    Governor(governor::Arguments),
    /// Keep files of debug symbols, which name the frames of stripped programs
    #[command(help_template = HELP, subcommand_required = true, arg_required_else_help = true)]
    Symbols(symbols::Arguments),
    /// Show who is told of what changes, and send test messages
    #[command(help_template = HELP, subcommand_required = true, arg_required_else_help = true)]
    Notify(notify::Arguments),
    /// Show, check and run the rules for known bugs and the scripts
    #[command(help_template = HELP, subcommand_required = true, arg_required_else_help = true)]
    Rules(rules::Arguments),
    /// Read the rules of grouping again, and have all crashes grouped by them in the background
    #[command(help_template = HELP)]
    Regroup(regroup::Arguments),
    /// Show the daemon's configuration in force
    #[command(help_template = HELP)]
    Settings(investigations::Arguments),
    /// Show the state of the daemon and its store
    #[command(help_template = HELP)]
    Status(status::Arguments),
}

/// Runs `aground` with the process's arguments.
pub fn run() -> ExitCode {
    let program = "aground";
    let mut command = Aground::command();
    command = command.after_help("Run 'aground COMMAND --help' for more information on a command.");
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(answered) = completion::answer(&command, &arguments) {
        return finish(program, answered);
    }
    let parsed = match parse(&command, arguments.into_iter(), program) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    let Aground {
        host,
        context,
        token_file,
        ca,
        verb,
    } = match Aground::from_arg_matches(&parsed) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error, &command, program),
    };
    let Some(verb) = verb else {
        return print_help(command);
    };
    if let Err(error) = credentials::use_for_all(token_file.as_deref(), ca) {
        return finish(program, Err(Failure::Message(error.to_string())));
    }
    let typed = parsed.value_source("host") == Some(ValueSource::CommandLine);
    let endpoint = match (host.filter(|host| !host.is_empty()), context) {
        (Some(_), Some(_)) if typed => {
            Err("conflicting options: cannot specify both --host and --context".to_owned())
        }
        (_, Some(context)) => contexts::daemon_of_context(&context),
        (Some(host), None) => host
            .parse()
            .map_err(|error: InvalidEndpoint| error.to_string()),
        (None, None) => Ok(Endpoint::local()),
    };
    let endpoint = endpoint.map_err(Failure::Message);
    finish(
        program,
        endpoint.and_then(|endpoint| dispatch(verb, endpoint, program)),
    )
}

fn dispatch(verb: Verb, endpoint: Endpoint, program: &'static str) -> Result<(), Failure> {
    match verb {
        Verb::Dump(verb) => run_dump_verb(*verb, endpoint, program),
        Verb::Analyze(arguments) => analyze::run(
            &arguments,
            &mut Session::new(Client::new(endpoint), program),
        ),
        Verb::Serve(arguments) => serve::run(arguments),
        Verb::Config(arguments) => config::run(&arguments),
        Verb::Reindex(arguments) => reindex::run(arguments),
        Verb::Install(arguments) => install::run(&arguments),
        Verb::Uninstall(arguments) => uninstall::run(&arguments),
        Verb::Whoami(arguments) => whoami::run(&arguments),
        Verb::Completion(arguments) => completion::run(&arguments),
        Verb::Man(arguments) => man::run(&arguments, Aground::command()),
        Verb::DialStdio(_) => dial_stdio::run(&endpoint),
        Verb::Open(arguments) => with_session(endpoint, program, async |session| {
            open::run(&arguments, session).await
        }),
        Verb::Doctor(arguments) => with_session(endpoint, program, async |session| {
            doctor::run(&arguments, session).await
        }),
        Verb::Token(arguments) => with_session(endpoint, program, async |session| {
            token::run(arguments, session).await
        }),
        Verb::Audit(arguments) => with_session(endpoint, program, async |session| {
            audit::run(&arguments, session).await
        }),
        Verb::Ping(arguments) => with_session(endpoint, program, async |session| {
            ping::run(&arguments, session).await
        }),
        Verb::Version(arguments) => with_session(endpoint, program, async |session| {
            version::run(&arguments, session).await
        }),
    }
}

/// Runs a verb that both programs have.
pub fn run_dump_verb(
    verb: DumpVerb,
    endpoint: Endpoint,
    program: &'static str,
) -> Result<(), Failure> {
    with_session(endpoint, program, async |session| {
        start(verb, session).await
    })
}

/// In a box each: as one state machine of all verbs they keep the compiler busy for minutes.
fn start<'a>(
    verb: DumpVerb,
    session: &'a mut Session,
) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>> {
    match verb {
        DumpVerb::Ls(arguments) => Box::pin(ls::run(arguments, session)),
        DumpVerb::Inspect(arguments) => {
            Box::pin(async move { inspect::run(&arguments, session).await })
        }
        DumpVerb::Bt(arguments) => Box::pin(async move { bt::run(&arguments, session).await }),
        DumpVerb::Compare(arguments) => {
            Box::pin(async move { compare::run(&arguments, session).await })
        }
        DumpVerb::Top(arguments) => Box::pin(async move { top::run(&arguments, session).await }),
        DumpVerb::Groups(arguments) => Box::pin(groups::run(arguments, session)),
        DumpVerb::Report(arguments) => Box::pin(report::run(arguments, session)),
        DumpVerb::Hosts(arguments) => Box::pin(hosts::run(arguments, session)),
        DumpVerb::Images(arguments) => Box::pin(images::run(arguments, session)),
        DumpVerb::Investigations(arguments) => {
            Box::pin(investigations::theories(arguments, session))
        }
        DumpVerb::Searches(arguments) => Box::pin(searches::run(arguments, session)),
        DumpVerb::Events(arguments) => Box::pin(events::run(arguments, session)),
        DumpVerb::Cp(arguments) => Box::pin(async move { cp::run(&arguments, session).await }),
        DumpVerb::Debug(arguments) => {
            Box::pin(async move { debug::run(&arguments, session).await })
        }
        DumpVerb::Bundle(arguments) => {
            Box::pin(async move { bundle::run(&arguments, session).await })
        }
        DumpVerb::Import(arguments) => {
            Box::pin(async move { import::run(&arguments, session).await })
        }
        DumpVerb::Log(arguments) => Box::pin(async move { log::run(&arguments, session).await }),
        DumpVerb::Rm(arguments) => Box::pin(async move { rm::run(&arguments, session).await }),
        DumpVerb::Pin(arguments) => {
            Box::pin(async move { pin::run(&arguments, true, session).await })
        }
        DumpVerb::Unpin(arguments) => {
            Box::pin(async move { pin::run(&arguments, false, session).await })
        }
        DumpVerb::Prune(arguments) => Box::pin(prune::run(arguments, session)),
        DumpVerb::Governor(arguments) => Box::pin(governor::run(arguments, session)),
        DumpVerb::Symbols(arguments) => {
            Box::pin(async move { symbols::run(&arguments, session).await })
        }
        DumpVerb::Notify(arguments) => Box::pin(notify::run(arguments, session)),
        DumpVerb::Rules(arguments) => Box::pin(rules::run(arguments, session)),
        DumpVerb::Regroup(arguments) => {
            Box::pin(async move { regroup::run(&arguments, session).await })
        }
        DumpVerb::Settings(arguments) => Box::pin(investigations::settings(arguments, session)),
        DumpVerb::Status(arguments) => {
            Box::pin(async move { status::run(&arguments, session).await })
        }
    }
}

fn with_session(
    endpoint: Endpoint,
    program: &'static str,
    verb: impl AsyncFnOnce(&mut Session) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut session = Session::new(Client::new(endpoint), program);
    let result = runtime.block_on(verb(&mut session));
    // What was written before a failure is shown before it.
    let flushed = session.flush();
    result.and(flushed.map_err(Into::into))
}

/// Says what went wrong, in one line, and with which code to exit.
pub fn finish(program: &str, result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else {
        return ExitCode::SUCCESS;
    };
    if let Some(message) = failure.message() {
        complain(program, &message);
    }
    if let Some(place) = failure.place() {
        use std::io::Write;
        // Nobody can be told that standard error is closed.
        let _ = writeln!(std::io::stderr(), "{place}");
    }
    failure.exit_code()
}

/// Writes one line to standard error.
pub fn complain(program: &str, message: &str) {
    use std::io::Write;
    // Nobody can be told that standard error is closed.
    let _ = writeln!(std::io::stderr(), "{program}: {}", text::visible(message));
}

/// The dump verbs as a command of their own: `docker dumps`.
pub fn dump_command(name: &'static str) -> clap::Command {
    let command = DumpVerb::augment_subcommands(clap::Command::new(name));
    command
        .bin_name("docker dumps")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Crash dumps of containers: what died, where and why")
        .long_about(None)
        .help_template(HELP)
        .disable_help_subcommand(true)
        .after_help("Run 'docker dumps COMMAND --help' for more information on a command.")
}
