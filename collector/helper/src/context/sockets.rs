//! Finds the addresses of a process's open sockets in `/proc/P/net`, its own network namespace.

use crate::bounded::read_proc_at;
use crate::record::Socket;
use crate::text::escape_bytes;
use rustix::fd::AsFd;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most bytes taken of one table: about 3,500 connections. The kernel makes the text while it is
/// read, and the process is waiting.
const MAX_TABLE: usize = 512 * 1024;
/// Longest path kept of a unix socket, which has at most 108 bytes.
const MAX_PATH: usize = 256;

/// The sockets among `open_files` that the tables explain.
pub(super) fn of(proc: &impl AsFd, open_files: &[(i32, String)]) -> Vec<Socket> {
    let wanted: HashMap<u64, i32> = open_files
        .iter()
        .filter_map(|(fd, target)| Some((inode(target)?, *fd)))
        .collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for protocol in ["tcp", "tcp6", "udp", "udp6", "unix"] {
        let Ok((table, _)) = read_proc_at(proc, &format!("net/{protocol}"), MAX_TABLE) else {
            continue;
        };
        let parse = match protocol {
            "unix" => unix_line,
            _ => inet_line,
        };
        let lines = table.split(|b| *b == b'\n').skip(1);
        found.extend(lines.filter_map(|line| {
            let (inode, socket) = parse(line)?;
            Some(Socket {
                fd: *wanted.get(&inode)?,
                protocol: protocol.to_owned(),
                ..socket
            })
        }));
    }
    found.sort_by_key(|socket| socket.fd);
    found.dedup_by_key(|socket| socket.fd);
    found
}

/// The inode in a link such as `socket:[4711]`.
fn inode(target: &str) -> Option<u64> {
    target
        .strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

/// `sl local_address rem_address st queues timer retransmits uid timeout inode …`
/// (`Documentation/networking/proc_net_tcp.rst`).
fn inet_line(line: &[u8]) -> Option<(u64, Socket)> {
    let line = str::from_utf8(line).ok()?;
    let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
    let (local, peer) = (address(fields.get(1)?)?, address(fields.get(2)?)?);
    let socket = Socket {
        local: local.to_string(),
        peer: (peer.port() != 0).then(|| peer.to_string()),
        state: tcp_state(fields.get(3)?).to_owned(),
        ..Socket::default()
    };
    Some((fields.get(9)?.parse().ok()?, socket))
}

/// An address as 32-bit words of the machine's byte order in hexadecimal, and a port.
fn address(text: &str) -> Option<SocketAddr> {
    let (words, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = words.get(at..at.checked_add(8)?)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match words.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for (index, chunk) in octets.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index.checked_mul(8)?)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// `include/net/tcp_states.h`; UDP uses 1 and 7.
fn tcp_state(hexadecimal: &str) -> &'static str {
    match hexadecimal {
        "01" => "ESTAB",
        "02" => "SYN-SENT",
        "03" => "SYN-RECV",
        "04" => "FIN-WAIT-1",
        "05" => "FIN-WAIT-2",
        "06" => "TIME-WAIT",
        "07" => "UNCONN",
        "08" => "CLOSE-WAIT",
        "09" => "LAST-ACK",
        "0A" => "LISTEN",
        "0B" => "CLOSING",
        "0C" => "NEW-SYN-RECV",
        _ => "unknown",
    }
}

/// `address: refs protocol flags type state inode path` (`net/unix/af_unix.c`, `unix_seq_show`).
fn unix_line(line: &[u8]) -> Option<(u64, Socket)> {
    let mut fields = line.splitn(8, |b| *b == b' ').skip(3);
    let (flags, _kind, state, rest) = (
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    );
    // The inode is right-aligned, so that spaces come before it, and after it the path.
    let mut tail = rest.to_vec();
    if let Some(path) = fields.next() {
        tail.push(b' ');
        tail.extend(path);
    }
    let tail = tail.trim_ascii_start();
    let end = tail.iter().position(|b| *b == b' ').unwrap_or(tail.len());
    let (inode, path) = tail.split_at_checked(end)?;
    let socket = Socket {
        local: escape_bytes(path.trim_ascii_start(), MAX_PATH),
        state: unix_state(flags, state).to_owned(),
        ..Socket::default()
    };
    Some((str::from_utf8(inode).ok()?.parse().ok()?, socket))
}

/// `SO_ACCEPTCON` in the flags marks a listener; the state is `enum socket_state`.
fn unix_state(flags: &[u8], state: &[u8]) -> &'static str {
    match (flags, state) {
        (b"00010000", _) => "LISTEN",
        (_, b"03") => "ESTAB",
        (_, b"02") => "CONNECTING",
        _ => "UNCONN",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixListener;

    #[test]
    fn our_own_sockets_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a socket");
        let unix = UnixListener::bind(&path).unwrap();
        let proc = std::fs::File::open("/proc/self").unwrap();
        let target = |fd: i32| {
            let target = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
            (fd, target.to_str().unwrap().to_owned())
        };
        let fds = [listener.as_raw_fd(), client.as_raw_fd(), unix.as_raw_fd()];
        let mut files: Vec<(i32, String)> = fds.map(target).into();
        files.push((99, "/dev/null".to_owned()));
        let found = of(&proc, &files);
        let by_fd = |fd: i32| found.iter().find(|socket| socket.fd == fd).unwrap();
        let listening = by_fd(fds[0]);
        assert_eq!(
            (listening.state.as_str(), &listening.local, &listening.peer),
            ("LISTEN", &address.to_string(), &None)
        );
        let connected = by_fd(fds[1]);
        assert_eq!(
            (connected.state.as_str(), &connected.peer),
            ("ESTAB", &Some(address.to_string()))
        );
        let local = by_fd(fds[2]);
        assert_eq!(
            (
                local.protocol.as_str(),
                local.state.as_str(),
                local.local.as_str()
            ),
            ("unix", "LISTEN", path.to_str().unwrap())
        );
        assert_eq!(found.len(), 3);
    }

    #[test]
    fn addresses_of_both_families_are_read() {
        let expected: [(&str, Option<&str>); 6] = [
            ("0100007F:1F90", Some("127.0.0.1:8080")),
            ("00000000000000000000000001000000:0050", Some("[::1]:80")),
            ("0100007F", None),
            ("0100007F:", None),
            ("010000ü:1F90", None),
            ("zzzzzzzz:0050", None),
        ];
        for (text, shown) in expected {
            let read = address(text).map(|address| address.to_string());
            // The words are of the machine's byte order: these are of a little-endian one.
            if cfg!(target_endian = "little") {
                assert_eq!(read.as_deref(), shown, "{text}");
            }
        }
    }

    #[test]
    fn damaged_lines_are_no_sockets() {
        let hostile: [&[u8]; 5] = [
            b"",
            b"  0: zz zz",
            b"\xff\xfe",
            b"a: b c d e f g",
            &[b' '; 500],
        ];
        for line in hostile {
            assert!(inet_line(line).is_none() && unix_line(line).is_none());
        }
    }
}
