//! Listens where the kernel connects with every crash (`core_pattern` = `@@/path`), and starts a
//! helper for each connection.
//!
//! The kernel connects without waiting: a full queue loses the crash. So nothing is done here but
//! taking connections; the queue is as long as the system allows.

use crate::arrival::CONNECTION;
use crate::surroundings;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::Mode;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

/// Argument that makes a listener of the helper; the state directory follows, and the socket's path
/// unless it was handed over by systemd.
pub const VERB: &str = "--socket";
/// The socket's file name, by which a pattern is known as ours.
pub const SOCKET: &str = "aground-coredump.sock";
/// Where it is: straight beneath `/run`, which only root can write. In a directory of the daemon's,
/// that one could put a listener of its own in its place.
pub const SOCKET_PATH: &str = "/run/aground-coredump.sock";
/// Longest queue asked for; the kernel cuts it to `net.core.somaxconn`.
const QUEUE: i32 = 65_536;
/// Helpers at the same time. Further crashes wait in the queue, held by the kernel.
const MOST: usize = 256;

/// Listens until it is ended. `args` are those behind [`VERB`].
pub fn run(args: &[OsString]) -> ExitCode {
    let trouble = match listen_and_start(args) {
        Ok(never) => match never {},
        Err(error) => format!("the listener ended: {error}"),
    };
    surroundings::tell_kernel_log(&trouble, args);
    ExitCode::FAILURE
}

fn listen_and_start(args: &[OsString]) -> io::Result<std::convert::Infallible> {
    let usage = || io::Error::other("usage: aground-collect --socket STATE_DIR [PATH]");
    let state_dir = PathBuf::from(args.first().ok_or_else(usage)?);
    // Before the environment is forgotten.
    let handed_over = handed_over();
    surroundings::clean_up();
    let listener = match (handed_over, args.get(1)) {
        (Some(listener), _) => listener,
        (None, Some(path)) => bound(Path::new(path))?,
        (None, None) => return Err(usage()),
    };
    listen(&listener, QUEUE)?;
    let program = std::env::current_exe()?;
    let mut helpers: Vec<Child> = Vec::new();
    loop {
        helpers.retain_mut(|helper| matches!(helper.try_wait(), Ok(None)));
        if helpers.len() >= MOST || !is_ready(&listener)? {
            std::thread::sleep(std::time::Duration::from_millis(5));
            continue;
        }
        match accept_with(&listener, SocketFlags::CLOEXEC) {
            Ok(connection) => helpers.extend(start(&program, &state_dir, connection)),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            // The caller died again, or descriptors are short for a moment.
            Err(error) => {
                surroundings::tell_kernel_log(&format!("a crash was not taken: {error}"), args);
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
        }
    }
}

/// Whether somebody wants in, waiting a little for it.
fn is_ready(listener: &OwnedFd) -> io::Result<bool> {
    let mut polled = [PollFd::new(listener, PollFlags::IN)];
    let second = Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    match poll(&mut polled, Some(&second)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn start(program: &Path, state_dir: &Path, connection: OwnedFd) -> Option<Child> {
    let started = Command::new(program)
        .arg(CONNECTION)
        .arg(state_dir)
        .env_clear()
        .stdin(Stdio::from(connection))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started
        .map_err(|error| {
            let trouble = format!("a crash was lost, because no helper could be started: {error}");
            surroundings::tell_kernel_log(&trouble, &[]);
        })
        .ok()
}

/// The socket systemd handed over (`sd_listen_fds(3)`): descriptor 3, if it was meant for us.
fn handed_over() -> Option<OwnedFd> {
    let number = |name| std::env::var(name).ok()?.parse::<u32>().ok();
    let for_us = number("LISTEN_PID") == Some(std::process::id());
    let one = number("LISTEN_FDS") == Some(1);
    (for_us && one).then(|| crate::sys::inherited(3)).flatten()
}

/// Binds a socket only root may connect to; the kernel connects as root. One that a dead listener
/// left behind gives way.
fn bound(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let address = SocketAddrUnix::new(path)?;
    if rustix::net::connect(socket.as_fd(), &address).is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "somebody listens there already",
        ));
    }
    match rustix::fs::unlink(path) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    bind(&socket, &address)?;
    Ok(socket)
}
