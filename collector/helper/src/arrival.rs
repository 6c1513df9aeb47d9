//! How a crash comes to us: through a pipe, with what is known in arguments, or through a socket,
//! where the kernel asks first whether it should write a core at all.
//!
//! The protocol of `@@` sockets is include/uapi/linux/coredump.h and `coredump_sock_request` in
//! fs/coredump.c: the kernel sends a request, we answer what to do, it sends a mark (four bytes,
//! whatever the header's comment says), and then the core. It holds the process until we hang up.

use crate::kernel_args::{KernelArgs, signal_named};
use crate::process;
use crate::record::KernelFacts;
use crate::sys::{self, CrashInfo};
use rustix::fd::OwnedFd;
use rustix::net::{RecvFlags, SendFlags};
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Argument of a helper whose standard input is a connection of the kernel's; the state directory
/// follows.
pub const CONNECTION: &str = "--connection";

/// The kernel writes the core.
const COREDUMP_KERNEL: u64 = 1;
/// There is no core.
const COREDUMP_REJECT: u64 = 1 << 2;
/// The process is held until we hang up.
const COREDUMP_WAIT: u64 = 1 << 3;
/// Size of the first version of request and answer.
const VERSION_0: usize = 16;
/// Largest request read.
const MAX_REQUEST: usize = 4096;

/// A crash at our door.
pub(crate) struct Arrival {
    /// What is known of it.
    pub(crate) args: KernelArgs,
    /// The kernel's handle of the process.
    pub(crate) pidfd: Option<OwnedFd>,
    door: Door,
}

enum Door {
    /// The core is coming, asked for or not.
    Pipe,
    /// The kernel waits for an answer, which may have bits of `offered`.
    Socket { offered: u64 },
}

impl Arrival {
    /// What the kernel's arguments say (without the program's name).
    pub(crate) fn by_pipe(words: &[OsString]) -> Self {
        let args = KernelArgs::parse(words);
        let inherited = args.pidfd.and_then(sys::inherited_pidfd);
        Self {
            args,
            pidfd: inherited.filter(|fd| process::pid_of(fd).is_some()),
            door: Door::Pipe,
        }
    }

    /// What the connection on standard input says.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] when it is not the kernel that calls; another when it
    /// speaks otherwise than we know.
    pub(crate) fn by_socket(state_dir: PathBuf) -> io::Result<Self> {
        let stdin = rustix::stdio::stdin();
        let pidfd = sys::peer_pidfd(stdin)?;
        // Whoever may connect could claim to crash; only the kernel sets this mark.
        let info = sys::crash_info(&pidfd)
            .filter(|info| info.is_dumping)
            .ok_or(io::ErrorKind::PermissionDenied)?;
        let offered = read_request()?;
        Ok(Self {
            args: KernelArgs {
                state_dir,
                facts: facts(&info),
                signal: signal_named(info.signal.unwrap_or(0)),
                pidfd: None,
                problems: Vec::new(),
            },
            pidfd: Some(pidfd),
            door: Door::Socket { offered },
        })
    }

    /// Lets the core come or, where that can be chosen, keeps the kernel from writing it. Returns
    /// whether it comes.
    ///
    /// # Errors
    /// When the kernel did not take the answer: there is no core then.
    pub(crate) fn answer(&self, wanted: bool) -> io::Result<bool> {
        let Door::Socket { offered } = self.door else {
            return Ok(true);
        };
        let choice = if wanted {
            COREDUMP_KERNEL | (offered & COREDUMP_WAIT)
        } else {
            COREDUMP_REJECT
        };
        let mut answer = Vec::with_capacity(VERSION_0);
        let size = u32::try_from(VERSION_0).unwrap_or(0);
        answer.extend(size.to_ne_bytes());
        answer.extend(0u32.to_ne_bytes());
        answer.extend(choice.to_ne_bytes());
        let stdin = rustix::stdio::stdin();
        rustix::net::send(stdin, &answer, SendFlags::NOSIGNAL)?;
        let mut mark = [0; 4];
        receive(&mut mark)?;
        match u32::from_ne_bytes(mark) {
            0 => Ok(wanted),
            mark => Err(io::Error::other(format!(
                "the kernel did not take our answer (mark {mark})"
            ))),
        }
    }
}

fn facts(info: &CrashInfo) -> KernelFacts {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.ok().and_then(|now| i64::try_from(now.as_secs()).ok());
    KernelFacts {
        pid: info.pid,
        uid: Some(info.uid),
        gid: Some(info.gid),
        // As `%d` has it: by its owner, or by root only.
        dumpable: Some(if info.for_root { 2 } else { 1 }),
        time: seconds,
        pidfd: true,
        ..KernelFacts::default()
    }
}

/// Reads the kernel's request; returns what may be answered.
fn read_request() -> io::Result<u64> {
    let stdin = rustix::stdio::stdin();
    let mut size = [0; 4];
    let (_, peeked) = rustix::net::recv(stdin, &mut size[..], RecvFlags::PEEK)?;
    let size = usize::try_from(u32::from_ne_bytes(size)).unwrap_or(usize::MAX);
    if peeked < 4 || !(VERSION_0..=MAX_REQUEST).contains(&size) {
        return Err(io::Error::other("the kernel's request is not understood"));
    }
    let mut request = vec![0; size];
    receive(&mut request)?;
    let field = |from: usize, to: usize| request.get(from..to).unwrap_or_default();
    let answer_size = field(4, 8).try_into().map_or(0, u32::from_ne_bytes);
    let mask = field(8, 16).try_into().map_or(0, u64::from_ne_bytes);
    if usize::try_from(answer_size).is_ok_and(|size| size >= VERSION_0) {
        Ok(mask)
    } else {
        Err(io::Error::other("the kernel takes no answer we can give"))
    }
}

/// Fills `buffer` from the connection.
fn receive(buffer: &mut [u8]) -> io::Result<()> {
    let mut filled = 0usize;
    while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
        match rustix::net::recv(rustix::stdio::stdin(), room, RecvFlags::empty()) {
            Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((_, count)) => filled = filled.saturating_add(count),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
