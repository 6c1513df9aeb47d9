//! What the specifiers of somebody else's `core_pattern` stand for, of this crash.

use super::template::Value;
use crate::bounded::read_proc_at;
use crate::process::Pinned;
use crate::record::Record;
use rustix::fs::{Mode, OFlags};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::{AsFd, OwnedFd};

/// Number of the descriptor the kernel puts a pidfd in (`COREDUMP_PIDFD_NUMBER`).
pub(super) const PIDFD_NUMBER: i32 = 3;

/// The crash, seen as the kernel would have described it to another handler.
pub(super) struct Facts<'a> {
    pub(super) record: &'a Record,
    pub(super) pinned: Option<&'a Pinned>,
}

impl Facts<'_> {
    /// What `specifier` stands for; `None` for one that there is not. A number that is not known
    /// is empty, a name that is not known becomes the kernel's `!`.
    pub(super) fn value(&self, specifier: u8) -> Option<Value> {
        let (kernel, process) = (&self.record.kernel, &self.record.process);
        let inside = process.namespace_pid.unwrap_or(kernel.pid);
        Some(match specifier {
            b'P' => plain(Some(kernel.pid)),
            b'p' => plain(Some(inside)),
            b'I' => plain(Some(kernel.tid.unwrap_or(kernel.pid))),
            b'i' => plain(Some(kernel.namespace_tid.unwrap_or(inside))),
            b'u' => plain(kernel.uid.or(process.uids.map(|[real, ..]| real))),
            b'g' => plain(kernel.gid.or(process.gids.map(|[real, ..]| real))),
            // What is not known is for root, as it is for us.
            b'd' => plain(Some(kernel.dumpable.unwrap_or(2))),
            b's' => plain(Some(self.record.signal.number)),
            b't' => plain(Some(
                kernel.time.unwrap_or(self.record.captured_at_ms / 1000),
            )),
            b'c' => plain(kernel.core_limit.or_else(|| self.core_limit())),
            b'C' => plain(self.processor()),
            b'h' => Value::Name(self.hostname().unwrap_or_default()),
            b'e' => Value::Name(self.thread_name()),
            b'f' => {
                let path = self.executable();
                let name = path.rsplit(|byte| *byte == b'/').next();
                Value::Name(name.unwrap_or_default().to_vec())
            }
            b'E' => Value::Name(self.executable()),
            b'F' => plain(self.pidfd().map(|_| PIDFD_NUMBER)),
            _ => return None,
        })
    }

    /// The handle that the handler finds under [`PIDFD_NUMBER`].
    pub(super) fn pidfd(&self) -> Option<&OwnedFd> {
        self.pinned.and_then(Pinned::pidfd)
    }

    fn core_limit(&self) -> Option<u64> {
        let mut limits = self.record.process.limits.iter();
        let limit = limits.find(|limit| limit.name == "Max core file size")?;
        match limit.soft.as_str() {
            "unlimited" => Some(u64::MAX),
            soft => soft.parse().ok(),
        }
    }

    fn of_thread(&self, name: &str) -> Option<Vec<u8>> {
        let kernel = &self.record.kernel;
        let path = format!("task/{}/{name}", kernel.tid.unwrap_or(kernel.pid));
        let (bytes, _) = read_proc_at(self.pinned?.proc(), &path, 4096).ok()?;
        Some(bytes)
    }

    fn thread_name(&self) -> Vec<u8> {
        let mut name = self.of_thread("comm").unwrap_or_default();
        if name.last() == Some(&b'\n') {
            name.pop();
        }
        name
    }

    /// The processor the thread ran on, the 39th field of `stat`: the names before it may hold
    /// anything, so fields count from the last parenthesis.
    fn processor(&self) -> Option<u32> {
        let stat = self.of_thread("stat")?;
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(stat.get(end..)?).ok()?;
        rest.split_ascii_whitespace().nth(37)?.parse().ok()
    }

    /// The executable's path as the process saw it.
    fn executable(&self) -> Vec<u8> {
        let link = |name| {
            let pinned = self.pinned?;
            let target = rustix::fs::readlinkat(pinned.proc(), name, Vec::new()).ok()?;
            Some(target.into_bytes())
        };
        let Some(path) = link("exe") else {
            return [&self.thread_name(), &b" (path unknown)"[..]].concat();
        };
        let root = link("root").unwrap_or_default();
        let inside = path.strip_prefix(root.as_slice());
        match inside.filter(|inside| inside.first() == Some(&b'/')) {
            Some(inside) => inside.to_vec(),
            None => path,
        }
    }

    /// The hostname that the process had. /proc does not tell it: a thread of ours goes and asks,
    /// and ends there.
    fn hostname(&self) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let proc = self.pinned?.proc();
        let namespace = rustix::fs::openat(proc, "ns/uts", flags, Mode::empty()).ok()?;
        let asks = move || {
            let kind = LinkNameSpaceType::HostNameAndNISDomainName;
            move_into_link_name_space(namespace.as_fd(), Some(kind)).ok()?;
            Some(rustix::system::uname().nodename().to_bytes().to_vec())
        };
        let thread = std::thread::Builder::new().spawn(asks).ok()?;
        thread.join().ok().flatten()
    }
}

fn plain<T: ToString>(number: Option<T>) -> Value {
    Value::Plain(number.map(|number| number.to_string()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::template::expand;
    use super::*;

    fn expanded(template: &str, facts: &Facts) -> Vec<String> {
        let (_, words) = expand(&format!("|/h {template}"), |s| facts.value(s)).unwrap();
        let text = |word: std::ffi::OsString| word.into_string().unwrap();
        words.into_iter().map(text).collect()
    }

    #[test]
    fn a_living_process_is_described() {
        let me = i32::try_from(std::process::id()).unwrap();
        let pinned = Pinned::new(me, None).unwrap();
        let mut record = Record::default();
        record.kernel.pid = me;
        record.signal.number = 11;
        record.process = crate::process::snapshot(&pinned, &mut Vec::new());
        let facts = Facts {
            record: &record,
            pinned: Some(&pinned),
        };
        let exe = std::env::current_exe().unwrap();
        let uid = rustix::process::getuid().as_raw().to_string();
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let expected = [
            me.to_string(),
            uid,
            "11".to_owned(),
            host,
            exe.file_name().unwrap().to_str().unwrap().to_owned(),
            exe.to_str().unwrap().replace('/', "!"),
            "3".to_owned(),
        ];
        assert_eq!(expanded("%P %u %s %h %f %E %F", &facts), expected);
        let processor: usize = expanded("%C", &facts)[0].parse().unwrap();
        assert!(processor < 4096);
    }

    #[test]
    fn of_a_process_that_is_gone_the_kernels_words_are_left() {
        let mut record = Record::default();
        record.kernel.pid = 4711;
        record.kernel.uid = Some(7);
        let facts = Facts {
            record: &record,
            pinned: None,
        };
        let expected = ["4711", "4711", "7", "", "2", "", "!", "!"];
        assert_eq!(expanded("%P %i %u %g %d %C %h %e", &facts), expected);
        assert_eq!(expanded("%E-%F", &facts), [" (path unknown)-"]);
    }
}
