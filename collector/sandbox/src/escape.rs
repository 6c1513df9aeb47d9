//! Tries to get out of the sandbox in every way a taken-over worker would try first.

use crate::sys;
use rustix::process::{Pid, Uid, getppid, test_kill_process};
use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What was tried, and how it ended.
#[derive(Debug)]
pub struct Attempt {
    /// A few words.
    pub what: &'static str,
    /// The system's answer; `None` when it worked.
    pub error: Option<io::Error>,
}

impl Attempt {
    /// Whether it was the sandbox that refused: a file that is not there, or nobody listening,
    /// proves nothing.
    pub fn is_refused(&self) -> bool {
        let code = self.error.as_ref().and_then(io::Error::raw_os_error);
        code == Some(libc::EPERM)
    }
}

/// Tries everything, one after the other. Nothing that works does harm.
pub fn try_everything() -> Vec<Attempt> {
    let parent = getppid().map_or(1, |pid| pid.as_raw_nonzero().get());
    let attempt = |what, result: io::Result<()>| Attempt {
        what,
        error: result.err(),
    };
    let mut attempts = vec![
        attempt("open a file", File::open("/etc/passwd").map(drop)),
        attempt(
            "write a file",
            File::create("/tmp/aground-escape").map(drop),
        ),
        attempt("open itself", File::open("/proc/self/mem").map(drop)),
        attempt("look at a file", std::fs::metadata("/etc").map(drop)),
        attempt("list a directory", std::fs::read_dir("/").map(drop)),
        attempt("remove a file", std::fs::remove_file("/nonexistent/file")),
        attempt(
            "connect by TCP",
            TcpStream::connect("127.0.0.1:9").map(drop),
        ),
        attempt("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
        attempt("send by UDP", UdpSocket::bind("127.0.0.1:0").map(drop)),
        attempt(
            "connect to a socket",
            UnixStream::connect("/run/docker.sock").map(drop),
        ),
        attempt("pair of sockets", UnixStream::pair().map(drop)),
        attempt("fork", sys::fork().map(drop)),
        attempt(
            "start a program",
            Command::new("/bin/true").status().map(drop),
        ),
        attempt("trace its parent", sys::attach(parent)),
        attempt("read its parent", sys::read_memory_of(parent, 0x1000)),
        attempt("signal its parent", signal(parent)),
        attempt("signal process 1", signal(1)),
        attempt("pass calls by a ring", sys::io_uring()),
        attempt(
            "become root",
            rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)
                .map_err(io::Error::from),
        ),
        attempt("make memory executable", sys::executable_memory()),
    ];
    // What works here does not return.
    let refused = Command::new("/bin/true").exec();
    attempts.push(attempt("become another program", Err(refused)));
    attempts
}

/// Asks whether a signal could be sent, without one.
fn signal(pid: i32) -> io::Result<()> {
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::NotFound)?;
    Ok(test_kill_process(pid)?)
}
