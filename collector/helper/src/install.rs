//! Hands the kernel our helper, and gives it back what it had before.
//!
//! The setting is global, so nothing is taken for granted: what was there is saved before it is
//! replaced, what was written is read back, and what somebody else has changed since is left alone.

use crate::bounded::{open_regular_at, read_up_to};
use crate::kernel_args::TEMPLATE;
use crate::layout::{DUMPS, INCOMING, MODULES, PREVIOUS, READY};
use crate::listener::{SOCKET, SOCKET_PATH};
use crate::sys;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Where the helper is installed: a path short enough for `core_pattern`, beyond containers' reach.
pub const HELPER: &str = "/usr/lib/aground/aground-collect";
/// The helper's file name, by which a pattern is known as ours.
const HELPER_NAME: &str = "aground-collect";
/// Longest pattern the kernel takes (`CORENAME_MAX_SIZE` is 128 with the final NUL).
const MAX_PATTERN: usize = 127;
/// Crashes the kernel hands over at the same time. Those above the limit it drops without a helper
/// hearing of them, so that a storm needs room here; helpers bound their own work ([`crate::turn`]).
/// With 0 the kernel does not wait for the helper, and small processes vanish from /proc before
/// they are read.
const PIPE_LIMIT: &str = "1024";

/// What to install.
#[derive(Clone, Debug)]
pub struct InstallOptions {
    /// State directory.
    pub state_dir: PathBuf,
    /// The helper's program to install.
    pub helper: PathBuf,
    /// Where to copy it; `None`: [`HELPER`]. The same path as `helper` copies nothing.
    pub destination: Option<PathBuf>,
    /// User and group of the daemon, who gets the state directory; `None`: it stays as it is.
    pub owner: Option<(u32, u32)>,
    /// How the kernel is to hand crashes over.
    pub interface: Interface,
    /// The listener's socket.
    pub socket: PathBuf,
}

/// How the kernel hands crashes over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interface {
    /// The best this machine has.
    #[default]
    Auto,
    /// It connects to a listener's socket, and asks whether a core is wanted.
    Socket,
    /// It starts the helper with a pipe to it.
    Pipe,
}

/// A way that was chosen, and why that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// [`Interface::Socket`] or [`Interface::Pipe`].
    pub interface: Interface,
    /// Why, a sentence.
    pub why: String,
}

impl InstallOptions {
    /// Installs `helper` at [`HELPER`].
    pub fn new(state_dir: impl Into<PathBuf>, helper: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            helper: helper.into(),
            destination: None,
            owner: None,
            interface: Interface::Auto,
            socket: SOCKET_PATH.into(),
        }
    }
}

/// The kernel's settings about core dumps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelSettings {
    /// `/proc/sys/kernel/core_pattern`.
    pub core_pattern: String,
    /// `/proc/sys/kernel/core_pipe_limit`.
    pub core_pipe_limit: String,
    /// The boot they were read in.
    #[serde(default)]
    pub boot_id: Option<String>,
}

/// What [`install`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The settings now.
    pub settings: KernelSettings,
    /// What was there before us; `None` when it was ours already and nobody had saved an earlier one.
    pub previous: Option<KernelSettings>,
    /// The installed helper.
    pub helper: PathBuf,
    /// How the kernel hands crashes over now.
    pub chosen: Chosen,
    /// Whether the settings were ours already.
    pub already: bool,
}

/// What [`uninstall`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uninstalled {
    /// The settings are again what they were.
    Restored(KernelSettings),
    /// The settings were ours, but what was before is not known: the kernel's defaults are set.
    Defaults(KernelSettings),
    /// The pattern is somebody else's and was left alone.
    NotOurs(KernelSettings),
}

/// Why [`install`] or [`uninstall`] could not do it. The settings are as they were.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Something on disk or in /proc/sys failed.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The paths do not fit the kernel's pattern.
    #[error("{path} cannot stand in core_pattern: {reason}")]
    UnfitPath {
        /// The path.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The pattern would be cut off.
    #[error(
        "the pattern has {length} characters, the kernel takes {MAX_PATTERN}: shorten the paths"
    )]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// There is no listener to connect to.
    #[error(
        "nobody listens at {0}: start aground-collect.socket, or run aground-collect --socket STATE_DIR {0}"
    )]
    NoListener(PathBuf),
    /// The kernel shows something else than was written.
    #[error("the kernel did not take {wrote:?}, it has {has:?}")]
    NotTaken {
        /// What was written.
        wrote: String,
        /// What it reads back as.
        has: String,
    },
}

fn io_error<E: Into<io::Error>>(
    action: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> InstallError {
    move |source| InstallError::Io {
        action,
        path: path.to_owned(),
        source: source.into(),
    }
}

/// Makes the state directories, installs the helper and points the kernel at it. Safe to repeat.
pub fn install(options: &InstallOptions) -> Result<Installed, InstallError> {
    install_at(&Sysctl::of_host(), options)
}

/// Puts the kernel's settings back. Safe to repeat.
pub fn uninstall(state_dir: &Path) -> Result<Uninstalled, InstallError> {
    let sysctl = Sysctl::of_host();
    let before = sysctl.read()?;
    let done = uninstall_at(&sysctl, state_dir)?;
    // Only the file that we put there ourselves, and that the kernel was told to run.
    let ran = |program: &str| before.core_pattern.starts_with(&format!("|{program} "));
    if !matches!(done, Uninstalled::NotOurs(_)) && ran(HELPER) {
        let _ = std::fs::remove_file(HELPER);
    }
    Ok(done)
}

/// The settings right now.
pub fn kernel_settings() -> Result<KernelSettings, InstallError> {
    Sysctl::of_host().read()
}

/// What was set before [`install`], as far as it was saved and may be believed; for root to read.
pub fn previous_settings(state_dir: &Path) -> Option<KernelSettings> {
    previous(&crate::bounded::open_dir(state_dir).ok()?)
}

/// Whether `pattern` runs our helper or connects to our listener, wherever those are.
pub fn is_ours(pattern: &str) -> bool {
    let named =
        |path: &str, name: &str| Path::new(path).file_name().is_some_and(|last| last == name);
    if let Some(socket) = pattern.strip_prefix("@@") {
        return named(socket, SOCKET);
    }
    let program = pattern
        .strip_prefix('|')
        .and_then(|command| command.split(' ').next());
    program.is_some_and(|program| named(program, HELPER_NAME))
}

/// Whether this kernel hands over pidfds with a crash (`%F`, since 6.16), so that no process can be
/// mistaken for another.
pub fn kernel_hands_over_pidfds() -> bool {
    of_own_pidfd(sys::pidfd_tells_core_dumps)
}

fn of_own_pidfd(ask: impl Fn(&OwnedFd) -> bool) -> bool {
    let own = rustix::process::pidfd_open(
        rustix::process::getpid(),
        rustix::process::PidfdFlags::empty(),
    );
    own.is_ok_and(|own| ask(&own))
}

/// What can be known of this machine without changing it. Asked, not concluded from a version:
/// distributions bring features to older kernels.
struct Machine {
    pidfd: bool,
    signal: bool,
    listener: bool,
}

impl Machine {
    fn probed(socket: &Path) -> Self {
        Self {
            pidfd: kernel_hands_over_pidfds(),
            signal: of_own_pidfd(sys::pidfd_tells_signals),
            listener: std::os::unix::net::UnixStream::connect(socket).is_ok(),
        }
    }

    fn choose(&self, asked: Interface) -> Chosen {
        let chosen = |interface, why: &str| Chosen {
            interface,
            why: why.to_owned(),
        };
        let pipe = if self.pidfd {
            "a pipe, with the kernel's own handle of the process (%F)"
        } else {
            "a pipe; this kernel hands over no handle of the process (%F needs 6.16), so that a pid must do"
        };
        match asked {
            Interface::Pipe => chosen(Interface::Pipe, pipe),
            Interface::Socket => chosen(Interface::Socket, "a socket, as asked for"),
            Interface::Auto if !self.signal => chosen(
                Interface::Pipe,
                &format!(
                    "{pipe}; through a socket this kernel does not tell the signal before the core (6.19 does)"
                ),
            ),
            Interface::Auto if !self.listener => chosen(
                Interface::Pipe,
                &format!(
                    "{pipe}; nobody listens on the socket (aground-collect.socket is not started)"
                ),
            ),
            Interface::Auto => chosen(
                Interface::Socket,
                "a socket: the kernel asks before it writes a core, and crash loops cost nothing",
            ),
        }
    }
}

/// The literal for `core_pattern`.
pub fn pattern(helper: &Path, state_dir: &Path) -> Result<String, InstallError> {
    let word = |path: &Path| {
        let unfit = |reason| InstallError::UnfitPath {
            path: path.to_owned(),
            reason,
        };
        let text = path.to_str().ok_or_else(|| unfit("it is not UTF-8"))?;
        match text {
            _ if !path.is_absolute() => Err(unfit("it is not absolute")),
            _ if text.contains(char::is_whitespace) => {
                Err(unfit("it has white space, at which the kernel splits"))
            }
            _ if text.contains('%') => {
                Err(unfit("it has a percent sign, which the kernel expands"))
            }
            _ => Ok(text.to_owned()),
        }
    };
    let pattern = format!("|{} {} {TEMPLATE}", word(helper)?, word(state_dir)?);
    if pattern.len() > MAX_PATTERN {
        Err(InstallError::TooLong {
            length: pattern.len(),
        })
    } else {
        Ok(pattern)
    }
}

/// The directory with the two settings; another one only in tests.
struct Sysctl(PathBuf);

impl Sysctl {
    fn of_host() -> Self {
        Self("/proc/sys/kernel".into())
    }

    fn get(&self, name: &str) -> Result<String, InstallError> {
        let path = self.0.join(name);
        let text = std::fs::read_to_string(&path).map_err(io_error("reading", &path))?;
        Ok(text.trim_end_matches('\n').to_owned())
    }

    /// Writes a setting and checks that it took: some kernels have accepted patterns they do not
    /// use, and have kept the old one.
    fn set(&self, name: &str, value: &str) -> Result<(), InstallError> {
        let path = self.0.join(name);
        std::fs::write(&path, value).map_err(io_error("writing", &path))?;
        let has = self.get(name)?;
        if has == value {
            Ok(())
        } else {
            Err(InstallError::NotTaken {
                wrote: value.to_owned(),
                has,
            })
        }
    }

    fn read(&self) -> Result<KernelSettings, InstallError> {
        Ok(KernelSettings {
            core_pattern: self.get("core_pattern")?,
            core_pipe_limit: self.get("core_pipe_limit")?,
            boot_id: crate::bounded::first_line("/proc/sys/kernel/random/boot_id"),
        })
    }

    /// Sets both, or neither.
    fn apply(&self, settings: &KernelSettings) -> Result<(), InstallError> {
        let before = self.read()?;
        // The limit first: with the pattern alone, a crash in between would not be waited for.
        let set = self.set("core_pipe_limit", &settings.core_pipe_limit);
        set.and_then(|()| self.set("core_pattern", &settings.core_pattern))
            .inspect_err(|_| {
                let _ = self.set("core_pattern", &before.core_pattern);
                let _ = self.set("core_pipe_limit", &before.core_pipe_limit);
            })
    }
}

fn install_at(sysctl: &Sysctl, options: &InstallOptions) -> Result<Installed, InstallError> {
    let helper = options.destination.clone().unwrap_or_else(|| HELPER.into());
    // What cannot work is refused before anything is touched.
    let piped = pattern(&helper, &options.state_dir)?;
    let machine = Machine::probed(&options.socket);
    let mut chosen = machine.choose(options.interface);
    if chosen.interface == Interface::Socket && !machine.listener {
        return Err(InstallError::NoListener(options.socket.clone()));
    }
    let state = state_directories(&options.state_dir, options.owner)?;
    copy_helper(&options.helper, &helper)?;
    let found = sysctl.read()?;
    let already = is_ours(&found.core_pattern);
    if !already {
        save_previous(&state, &found)
            .map_err(io_error("saving", &options.state_dir.join(PREVIOUS)))?;
    }
    let by = |core_pattern| KernelSettings {
        core_pattern,
        core_pipe_limit: PIPE_LIMIT.to_owned(),
        boot_id: found.boot_id.clone(),
    };
    let mut settings = by(piped);
    if chosen.interface == Interface::Socket {
        let socket = by(socket_pattern(&options.socket)?);
        match sysctl.apply(&socket) {
            Ok(()) => settings = socket,
            Err(error) if options.interface == Interface::Auto => {
                chosen = machine.choose(Interface::Pipe);
                chosen.why = format!("{}; the socket was refused: {error}", chosen.why);
                sysctl.apply(&settings)?;
            }
            Err(error) => return Err(error),
        }
    } else {
        sysctl.apply(&settings)?;
    }
    let previous = previous(&state);
    Ok(Installed {
        settings,
        previous,
        helper,
        chosen,
        already,
    })
}

/// The literal for a socket: it is not expanded, and may have no spaces (`coredump_parse`,
/// fs/coredump.c).
fn socket_pattern(socket: &Path) -> Result<String, InstallError> {
    let unfit = |reason| InstallError::UnfitPath {
        path: socket.to_owned(),
        reason,
    };
    let text = socket.to_str().ok_or_else(|| unfit("it is not UTF-8"))?;
    if text.contains([' ', '\n']) || text.contains("..") || !socket.is_absolute() {
        return Err(unfit("it must be absolute, without spaces and .."));
    }
    let pattern = format!("@@{text}");
    // A socket's address has 108 bytes (UNIX_PATH_MAX).
    if text.len() < 108 && pattern.len() <= MAX_PATTERN {
        Ok(pattern)
    } else {
        Err(InstallError::TooLong {
            length: pattern.len(),
        })
    }
}

fn uninstall_at(sysctl: &Sysctl, state_dir: &Path) -> Result<Uninstalled, InstallError> {
    let found = sysctl.read()?;
    if !is_ours(&found.core_pattern) {
        return Ok(Uninstalled::NotOurs(found));
    }
    let state = crate::bounded::open_dir(state_dir).ok();
    let Some(previous) = state.as_ref().and_then(previous) else {
        let defaults = KernelSettings {
            core_pattern: "core".to_owned(),
            core_pipe_limit: "0".to_owned(),
            ..found
        };
        sysctl.apply(&defaults)?;
        return Ok(Uninstalled::Defaults(defaults));
    };
    sysctl.apply(&previous)?;
    // The settings are back; a file left behind is replaced by the next install.
    let _ = state.map(|state| rustix::fs::unlinkat(state, PREVIOUS, AtFlags::empty()));
    Ok(Uninstalled::Restored(previous))
}

/// Makes the state directory and what belongs beneath it, all of it `owner`'s alone.
fn state_directories(state_dir: &Path, owner: Option<(u32, u32)>) -> Result<OwnedFd, InstallError> {
    let failed = || io_error::<io::Error>("making", state_dir);
    if let Some(parent) = state_dir.parent() {
        std::fs::create_dir_all(parent).map_err(io_error("making", parent))?;
    }
    let _ = rustix::fs::mkdir(state_dir, Mode::RWXU);
    let state = crate::bounded::open_dir(state_dir).map_err(failed())?;
    claim(&state, owner).map_err(failed())?;
    for path in [INCOMING, READY, DUMPS, MODULES] {
        let mut directory = state.try_clone().map_err(failed())?;
        for name in path.split('/') {
            let made = rustix::fs::mkdirat(&directory, name, Mode::RWXU);
            let opened = made.or_else(|error| {
                if error == rustix::io::Errno::EXIST {
                    Ok(())
                } else {
                    Err(error)
                }
            });
            opened.map_err(io_error("making", &state_dir.join(path)))?;
            directory = crate::bounded::open_dir_at(&directory, name)
                .map_err(io_error("opening", &state_dir.join(path)))?;
            claim(&directory, owner).map_err(failed())?;
        }
    }
    Ok(state)
}

fn claim(directory: &OwnedFd, owner: Option<(u32, u32)>) -> io::Result<()> {
    if let Some((user, group)) = owner {
        rustix::fs::fchown(
            directory,
            Some(Uid::from_raw(user)),
            Some(Gid::from_raw(group)),
        )?;
    }
    Ok(rustix::fs::fchmod(directory, Mode::RWXU)?)
}

/// Copies the helper beside its destination and renames it there, so that a crash at this very
/// moment finds the old one or the new one.
fn copy_helper(from: &Path, to: &Path) -> Result<(), InstallError> {
    if std::fs::canonicalize(from).is_ok_and(|from| Some(from) == std::fs::canonicalize(to).ok()) {
        return Ok(());
    }
    let directory = to.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(directory).map_err(io_error("making", directory))?;
    let mut program = File::open(from).map_err(io_error("opening", from))?;
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = directory.join(name);
    let mut copy = || {
        let _ = std::fs::remove_file(&new);
        let mut file = File::create_new(&new)?;
        io::copy(&mut program, &mut file)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o755))?;
        file.sync_all()?;
        std::fs::rename(&new, to)
    };
    copy().map_err(|source| {
        let _ = std::fs::remove_file(&new);
        io_error("installing", to)(source)
    })
}

/// The settings `aground install` replaced, if they are known for sure.
pub(crate) fn remembered(state_dir: &Path) -> Option<KernelSettings> {
    previous(&crate::bounded::open_dir(state_dir).ok()?)
}

fn save_previous(state: &OwnedFd, settings: &KernelSettings) -> io::Result<()> {
    const NEW: &str = "previous.json.new";
    let _ = rustix::fs::unlinkat(state, NEW, AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(state.as_fd(), NEW, flags, Mode::RUSR)?;
    let mut file = File::from(file);
    file.write_all(&serde_json::to_vec_pretty(settings)?)?;
    file.sync_all()?;
    rustix::fs::renameat(state, NEW, state, PREVIOUS)?;
    Ok(rustix::fs::fsync(state)?)
}

/// What was saved; `None` when there is nothing usable, or when it is a pattern of ours.
///
/// The state directory is the daemon's, which is not root: a file it could have put there would
/// let it choose a program for the kernel to run as root. Hence only our own file is believed, by its
/// owner and by a mode that nothing else of ours there has: the daemon can rename what is root's.
fn previous(state: &OwnedFd) -> Option<KernelSettings> {
    let file = open_regular_at(state, PREVIOUS).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let ours = stat.st_uid == rustix::process::geteuid().as_raw() && mode == Mode::RUSR;
    if !ours || stat.st_nlink != 1 {
        return None;
    }
    let (bytes, _) = read_up_to(file, 64 * 1024).ok()?;
    let settings: KernelSettings = serde_json::from_slice(&bytes).ok()?;
    let pattern = &settings.core_pattern;
    let fits = pattern.len() <= MAX_PATTERN && !pattern.contains('\n');
    (fits && !is_ours(pattern)).then_some(settings)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    struct Machine {
        temp: tempfile::TempDir,
        sysctl: Sysctl,
    }

    impl Machine {
        fn new(pattern: &str, limit: &str) -> Self {
            let temp = tempfile::tempdir().unwrap();
            let sysctl = Sysctl(temp.path().join("sys"));
            fs::create_dir(&sysctl.0).unwrap();
            fs::write(temp.path().join("program"), "the helper").unwrap();
            let machine = Self { temp, sysctl };
            machine.set(pattern, limit);
            machine
        }

        fn set(&self, pattern: &str, limit: &str) {
            fs::write(self.sysctl.0.join("core_pattern"), format!("{pattern}\n")).unwrap();
            fs::write(self.sysctl.0.join("core_pipe_limit"), format!("{limit}\n")).unwrap();
        }

        fn settings(&self) -> (String, String) {
            let settings = self.sysctl.read().unwrap();
            (settings.core_pattern, settings.core_pipe_limit)
        }

        fn options(&self) -> InstallOptions {
            let destination = Some(self.temp.path().join("lib/aground-collect"));
            let mut options = InstallOptions::new(
                self.temp.path().join("a/state"),
                self.temp.path().join("program"),
            );
            options.destination = destination;
            options
        }

        fn install(&self) -> Installed {
            install_at(&self.sysctl, &self.options()).unwrap()
        }

        fn uninstall(&self) -> Uninstalled {
            uninstall_at(&self.sysctl, &self.options().state_dir).unwrap()
        }
    }

    #[test]
    fn what_was_there_comes_back() {
        let machine = Machine::new("|/usr/lib/systemd/systemd-coredump %P", "8");
        let installed = machine.install();
        assert!(!installed.already);
        assert!(is_ours(&machine.settings().0));
        assert_eq!(machine.settings().1, PIPE_LIMIT);
        let again = machine.install();
        assert!(again.already);
        assert_eq!(again.previous, installed.previous);
        assert!(matches!(machine.uninstall(), Uninstalled::Restored(_)));
        assert_eq!(
            machine.settings(),
            (
                "|/usr/lib/systemd/systemd-coredump %P".to_owned(),
                "8".to_owned()
            )
        );
        assert!(matches!(machine.uninstall(), Uninstalled::NotOurs(_)));
    }

    #[test]
    fn directories_and_program_have_the_right_modes() {
        let machine = Machine::new("core", "0");
        let installed = machine.install();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let state = machine.options().state_dir;
        for path in ["", INCOMING, READY, DUMPS, MODULES] {
            assert_eq!(mode(state.join(path)), 0o700, "{path}");
        }
        assert_eq!(mode(installed.helper.clone()), 0o755);
        assert_eq!(fs::read(installed.helper).unwrap(), b"the helper");
        assert_eq!(mode(state.join(PREVIOUS)), 0o400);
    }

    #[test]
    fn somebody_elses_later_pattern_is_left_alone_and_remembered() {
        let machine = Machine::new("core", "0");
        machine.install();
        machine.set("|/usr/share/apport/apport", "10");
        assert!(matches!(machine.uninstall(), Uninstalled::NotOurs(_)));
        assert_eq!(machine.settings().0, "|/usr/share/apport/apport");
        machine.install();
        machine.uninstall();
        assert_eq!(
            machine.settings(),
            ("|/usr/share/apport/apport".to_owned(), "10".to_owned())
        );
    }

    #[test]
    fn without_a_memory_of_it_the_defaults_come_back() {
        let machine = Machine::new("core", "0");
        machine.install();
        for damage in [
            None,
            Some("{"),
            Some(r#"{"core_pattern":"|/x/aground-collect","core_pipe_limit":"1"}"#),
        ] {
            let path = machine.options().state_dir.join(PREVIOUS);
            let _ = fs::remove_file(&path);
            if let Some(text) = damage {
                fs::write(&path, text).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
            }
            machine.set("|/x/aground-collect /s", "16");
            assert!(
                matches!(machine.uninstall(), Uninstalled::Defaults(_)),
                "{damage:?}"
            );
            assert_eq!(machine.settings(), ("core".to_owned(), "0".to_owned()));
        }
    }

    #[test]
    fn a_memory_the_daemon_could_have_made_up_is_not_believed() {
        let machine = Machine::new("core", "0");
        machine.install();
        let path = machine.options().state_dir.join(PREVIOUS);
        let evil = r#"{"core_pattern":"|/tmp/evil","core_pipe_limit":"0"}"#;
        let ours = machine.settings().0;
        for (owner, mode) in [(12345, 0o400), (0, 0o600)] {
            let _ = fs::remove_file(&path);
            fs::write(&path, evil).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
            machine.set(&ours, "16");
            assert!(matches!(machine.uninstall(), Uninstalled::Defaults(_)));
            assert_eq!(machine.settings().0, "core");
        }
    }

    #[test]
    fn a_pattern_the_kernel_would_misread_is_refused() {
        let helper = Path::new(HELPER);
        let literal = pattern(helper, Path::new("/var/lib/aground")).unwrap();
        assert_eq!(
            literal,
            "|/usr/lib/aground/aground-collect /var/lib/aground %P %I %i %u %g %s %t %c %d %F"
        );
        for state in ["relative", "/with space", "/per%cent", "/new\nline"] {
            assert!(
                matches!(
                    pattern(helper, Path::new(state)),
                    Err(InstallError::UnfitPath { .. })
                ),
                "{state}"
            );
        }
        let long = format!("/{}", "x".repeat(127));
        assert!(matches!(
            pattern(helper, Path::new(&long)),
            Err(InstallError::TooLong { .. })
        ));
    }

    #[test]
    fn only_our_helper_is_ours() {
        assert!(is_ours("|/opt/x/aground-collect /s %P"));
        assert!(is_ours("@@/run/aground/aground-coredump.sock"));
        for pattern in [
            "",
            "@@/run/systemd/coredump",
            "core",
            "|",
            "|/bin/aground-collector",
            "/aground-collect",
            "|/x/y /aground-collect",
        ] {
            assert!(!is_ours(pattern), "{pattern}");
        }
    }

    #[test]
    fn the_best_way_is_chosen_and_explained() {
        let machine = |pidfd, signal, listener| super::Machine {
            pidfd,
            signal,
            listener,
        };
        let chosen = machine(true, true, true).choose(Interface::Auto);
        assert_eq!(chosen.interface, Interface::Socket);
        for (machine, why) in [
            (machine(true, false, true), "does not tell the signal"),
            (machine(true, true, false), "nobody listens"),
            (machine(false, false, false), "a pid must do"),
        ] {
            let chosen = machine.choose(Interface::Auto);
            assert_eq!(chosen.interface, Interface::Pipe);
            assert!(chosen.why.contains(why), "{}", chosen.why);
        }
        let forced = machine(true, true, true).choose(Interface::Pipe);
        assert_eq!(forced.interface, Interface::Pipe);
    }

    #[test]
    fn without_a_listener_no_socket_is_set() {
        let machine = Machine::new("core", "0");
        let mut options = machine.options();
        options.interface = Interface::Socket;
        options.socket = machine.temp.path().join(SOCKET);
        let refused = install_at(&machine.sysctl, &options);
        assert!(matches!(refused, Err(InstallError::NoListener(_))));
        let _listener = std::os::unix::net::UnixListener::bind(&options.socket).unwrap();
        let installed = install_at(&machine.sysctl, &options).unwrap();
        assert_eq!(
            installed.settings.core_pattern,
            format!("@@{}", options.socket.display())
        );
        assert!(is_ours(&machine.settings().0));
        machine.uninstall();
        assert_eq!(machine.settings().0, "core");
        for unfit in ["/a b", "relative", "/a/../b"] {
            assert!(socket_pattern(Path::new(unfit)).is_err(), "{unfit}");
        }
    }
}
