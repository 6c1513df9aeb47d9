//! `aground install`: sends the machine's crashes to Aground.

use super::plugin;
use super::session::Failure;
use super::text::visible;
use aground_helper::install::{HELPER, InstallOptions, Installed, Interface, install};
use std::path::{Path, PathBuf};

/// Send crashes of this machine to Aground: install the helper, point the kernel at it
#[derive(clap::Args)]
pub struct Arguments {
    /// State directory
    #[arg(long, value_name = "DIR", default_value = aground_helper::layout::STATE_DIR)]
    state_dir: PathBuf,
    /// Helper program to install [default: aground-collect beside this program, else the one in place]
    #[arg(long, value_name = "FILE")]
    helper: Option<PathBuf>,
    /// Where to put the helper [default: /usr/lib/aground/aground-collect]
    #[arg(long, value_name = "FILE")]
    destination: Option<PathBuf>,
    /// How the kernel hands crashes over: auto, socket or pipe
    #[arg(long, value_name = "INTERFACE", default_value = "auto", value_parser = interface)]
    interface: Interface,
    /// The listener's socket
    #[arg(long, value_name = "PATH", default_value = aground_helper::listener::SOCKET_PATH)]
    socket: PathBuf,
    /// User of the daemon, who owns the state directory [default: aground if there is one, else root]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Install the Docker CLI plugin too [default: if Docker is here and has none yet]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    docker_plugin: Option<bool>,
}

/// The user the packages make.
const DEFAULT_USER: &str = "aground";

/// Installs, and says what was changed and how to undo it.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    require_root("install")?;
    let options = InstallOptions {
        owner: owner(arguments.user.as_deref())?,
        destination: arguments.destination.clone(),
        interface: arguments.interface,
        socket: arguments.socket.clone(),
        ..InstallOptions::new(&arguments.state_dir, helper(arguments.helper.as_deref())?)
    };
    let installed = install(&options).map_err(|error| Failure::Other(error.into()))?;
    tell(&installed);
    install_plugin(arguments.docker_plugin)?;
    println!(
        "undo           sudo aground uninstall{}",
        state_flag(&arguments.state_dir)
    );
    Ok(())
}

fn interface(text: &str) -> Result<Interface, String> {
    match text {
        "auto" => Ok(Interface::Auto),
        "socket" => Ok(Interface::Socket),
        "pipe" => Ok(Interface::Pipe),
        _ => Err("it is auto, socket or pipe".to_owned()),
    }
}

fn tell(installed: &Installed) {
    println!(
        "helper         {}",
        visible(&installed.helper.display().to_string())
    );
    println!(
        "core_pattern   {}",
        visible(&installed.settings.core_pattern)
    );
    println!("interface      {}", visible(&installed.chosen.why));
    println!(
        "pipe limit     {}",
        visible(&installed.settings.core_pipe_limit)
    );
    match &installed.previous {
        Some(previous) => println!("before         {}", visible(&previous.core_pattern)),
        None => println!("before         not known: uninstall will set the kernel's default"),
    }
    if installed.already {
        println!("               (was installed already)");
    }
}

/// Explicitly wanted, a failure counts; by default it is worth a line.
fn install_plugin(wanted: Option<bool>) -> Result<(), Failure> {
    if !wanted.unwrap_or_else(plugin::is_wanted) {
        return Ok(());
    }
    match plugin::install() {
        Ok(path) => println!(
            "docker plugin  {} (docker dumps)",
            visible(&path.display().to_string())
        ),
        Err(message) if wanted.is_some() => return Err(Failure::Message(message)),
        Err(message) => println!("docker plugin  not installed: {}", visible(&message)),
    }
    Ok(())
}

fn state_flag(state_dir: &Path) -> String {
    if state_dir == Path::new(aground_helper::layout::STATE_DIR) {
        return String::new();
    }
    format!(" --state-dir {}", visible(&state_dir.display().to_string()))
}

/// Only root may change the kernel's settings.
pub fn require_root(verb: &str) -> Result<(), Failure> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::Message(format!(
        "{verb} changes kernel settings: run it as root (sudo aground {verb})"
    )))
}

fn helper(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let helper = given.map_or_else(default_helper, |path| Ok(path.to_owned()))?;
    if !helper.is_file() {
        let message = format!(
            "there is no helper at {}: name it with --helper",
            helper.display()
        );
        return Err(Failure::Message(message));
    }
    Ok(helper)
}

fn default_helper() -> Result<PathBuf, Failure> {
    let beside = plugin::sibling("aground-collect").map_err(Failure::Message)?;
    // Packages put it where it belongs and nowhere else.
    let packaged = Path::new(HELPER);
    if beside.is_file() || !packaged.is_file() {
        return Ok(beside);
    }
    Ok(packaged.to_owned())
}

/// The ids of the daemon's user; `None` is root, who needs no change.
fn owner(name: Option<&str>) -> Result<Option<(u32, u32)>, Failure> {
    let passwd = std::fs::read_to_string("/etc/passwd").map_err(anyhow::Error::from)?;
    match (name, user_ids(&passwd, name.unwrap_or(DEFAULT_USER))) {
        (_, Some(ids)) => Ok(Some(ids)),
        (None, None) => Ok(None),
        (Some(name), None) => Err(Failure::Message(format!(
            "there is no user \"{name}\" in /etc/passwd"
        ))),
    }
}

/// User and group id from passwd(5).
fn user_ids(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name) && !name.is_empty();
        let (user, group) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        found.then_some((user, group))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n\nbroken\naground:x:998:997::/:/bin/false\n";
        assert_eq!(user_ids(passwd, "aground"), Some((998, 997)));
        assert_eq!(user_ids(passwd, "root"), Some((0, 0)));
        for absent in ["groun", "", "x", "broken"] {
            assert_eq!(user_ids(passwd, absent), None, "{absent}");
        }
    }
}
