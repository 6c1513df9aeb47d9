//! Opens files of a host: the running one, or a copy of its disk that somebody captured.
//!
//! Paths that an administrator chose may go through links, which stay within the host's root.
//! Paths that a user chose may not, and the files must be his.

use crate::bounded::{open_dir, open_dir_at, read_regular_at};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Largest file read. The largest seen of a real container is some 100 KiB.
pub(super) const MAX_FILE: usize = 4 << 20;
/// Most entries looked at in one directory.
const MAX_LISTED: usize = 4096;

/// A host's root directory.
#[derive(Debug)]
pub struct HostRoot {
    root: OwnedFd,
    /// Whether owners are those of the host: those of a copy are whoever copied.
    owners: bool,
}

/// A directory on the host, and the path it was opened by.
#[derive(Debug)]
pub struct Directory {
    /// The directory itself.
    pub fd: OwnedFd,
    /// Its path on the host, for evidence.
    pub path: String,
}

impl HostRoot {
    /// The host whose root directory is `root`.
    pub fn at(root: &Path) -> io::Result<Self> {
        Ok(Self {
            root: open_dir(root)?,
            owners: true,
        })
    }

    /// A copy of a host's disk beneath `root`, which tells who owned what no more.
    pub fn copied(root: &Path) -> io::Result<Self> {
        let host = Self::at(root)?;
        Ok(Self {
            owners: false,
            ..host
        })
    }

    /// Opens a directory by a path that an administrator chose.
    pub fn directory(&self, path: &str) -> io::Result<Directory> {
        self.open(path, ResolveFlags::IN_ROOT)
    }

    /// Opens a directory by a path that `user` chose: without links anywhere, and his own.
    pub fn directory_of(&self, user: u32, path: &str) -> io::Result<Directory> {
        let found = self.open(path, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)?;
        if !self.owners || rustix::fs::fstat(&found.fd)?.st_uid == user {
            Ok(found)
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    fn open(&self, path: &str, how: ResolveFlags) -> io::Result<Directory> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let how = how | ResolveFlags::NO_MAGICLINKS;
        let fd = rustix::fs::openat2(&self.root, path, flags, Mode::empty(), how)?;
        let path = format!("/{}", path.trim_matches('/'));
        Ok(Directory { fd, path })
    }

    /// A configuration file's text, at a path of ours.
    pub fn text(&self, directory: &str, name: &str) -> Option<String> {
        let directory = self.directory(directory).ok()?;
        let bytes = read_regular_at(&directory.fd, name, MAX_FILE).ok()?;
        String::from_utf8(bytes).ok()
    }

    /// Where a user's home is or, in a copy without a list of users, may be.
    pub fn homes(&self, user: u32) -> Vec<String> {
        let known = self.home(user);
        if known.is_some() || self.owners {
            return known.into_iter().collect();
        }
        let homes = self.directory("home").map(|homes| homes.names());
        let names = homes.unwrap_or_default().into_iter().take(64);
        names.map(|name| format!("/home/{name}")).collect()
    }

    /// The home directory of a user, from the host's own list of users.
    fn home(&self, user: u32) -> Option<String> {
        let users = self.text("etc", "passwd")?;
        users.lines().find_map(|line| {
            let mut fields = line.split(':').skip(2);
            let uid: u32 = fields.next()?.parse().ok()?;
            let home = fields.nth(2)?;
            (uid == user && home.starts_with('/')).then(|| home.to_owned())
        })
    }
}

impl HostRoot {
    /// The user to whom a uid outside all users was lent for his containers (subuid(5)).
    pub fn lender(&self, uid: u32) -> Option<u32> {
        let lent = self.text("etc", "subuid")?;
        let name = lent.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let (first, count) = (
                fields.next()?.parse::<u32>().ok()?,
                fields.next()?.parse().ok()?,
            );
            (uid.checked_sub(first)? < count).then_some(name)
        })?;
        if let Ok(user) = name.parse() {
            return Some(user);
        }
        let users = self.text("etc", "passwd")?;
        let entry = users
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        entry.split(':').nth(1)?.parse().ok()
    }
}

impl Directory {
    /// The directory `name` within, refusing a link in its place.
    pub fn directory(&self, name: &str) -> io::Result<Self> {
        Ok(Self {
            fd: open_dir_at(&self.fd, name)?,
            path: format!("{}/{name}", self.path.trim_end_matches('/')),
        })
    }

    /// The directory at the end of several names.
    pub fn descend(&self, names: &[&str]) -> io::Result<Self> {
        let mut found = Self {
            fd: self.fd.try_clone()?,
            path: self.path.clone(),
        };
        for name in names {
            found = found.directory(name)?;
        }
        Ok(found)
    }

    /// The path of the file `name` within, for evidence.
    pub fn path_of(&self, name: &str) -> String {
        format!("{}/{name}", self.path.trim_end_matches('/'))
    }

    /// The whole of the small regular file `name`.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        read_regular_at(&self.fd, name, MAX_FILE)
    }

    /// The JSON in the file `name`; `None` when it is missing or damaged.
    pub fn json(&self, name: &str) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.read(name).ok()?).ok()
    }

    /// Whether there is a file or directory `name` (a link counts).
    pub fn has(&self, name: &str) -> bool {
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::statat(&self.fd, name, flags).is_ok()
    }

    /// Names within, at most [`MAX_LISTED`], those that are text.
    pub fn names(&self) -> Vec<String> {
        let Ok(entries) = rustix::fs::Dir::read_from(self.fd.as_fd()) else {
            return Vec::new();
        };
        let name = |entry: rustix::io::Result<rustix::fs::DirEntry>| {
            let entry = entry.ok()?;
            Some(entry.file_name().to_str().ok()?.to_owned())
        };
        entries
            .take(MAX_LISTED)
            .filter_map(name)
            .filter(|name| name != "." && name != "..")
            .collect()
    }
}

/// The value of `key = "text"` in a TOML file's `[section]` (`""` before the first one). Only what
/// the engines' configuration files use: one line, basic or literal strings.
pub(super) fn toml_text<'a>(text: &'a str, section: &str, key: &str) -> Option<&'a str> {
    let mut here = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            here = name.split(']').next().unwrap_or_default().trim();
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        if here != section || name.trim() != key {
            continue;
        }
        let value = value.trim();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        return value.get(1..)?.split(quote).next();
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_within_the_host_and_users_have_none() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("srv/docker")).unwrap();
        fs::create_dir_all(temp.path().join("var/lib")).unwrap();
        symlink("/srv/docker", temp.path().join("var/lib/docker")).unwrap();
        symlink("/../../../etc", temp.path().join("var/lib/out")).unwrap();
        fs::write(temp.path().join("srv/docker/mark"), "x").unwrap();
        let host = HostRoot::at(temp.path()).unwrap();
        assert!(host.directory("/var/lib/docker").unwrap().has("mark"));
        assert!(host.directory("var/lib/out").is_err());
        let me = rustix::process::getuid().as_raw();
        assert!(host.directory_of(me, "/srv/docker").is_ok());
        assert!(host.directory_of(me, "/var/lib/docker").is_err());
        assert!(host.directory_of(me + 1, "/srv/docker").is_err());
        let copy = HostRoot::copied(temp.path()).unwrap();
        assert!(copy.directory_of(me + 1, "/srv/docker").is_ok());
        assert!(copy.directory_of(me + 1, "/var/lib/docker").is_err());
        fs::create_dir_all(temp.path().join("home/u")).unwrap();
        assert_eq!(copy.homes(1000), ["/home/u"]);
        assert!(host.homes(1000).is_empty());
    }

    #[test]
    fn homes_come_from_the_hosts_list() {
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("etc")).unwrap();
        let users = "root:x:0:0:root:/root:/bin/sh\nbad\nu:x:1000:1000:U,,,:/home/u:/bin/sh\nv:x:7:7::relative:\n";
        fs::write(temp.path().join("etc/passwd"), users).unwrap();
        let host = HostRoot::at(temp.path()).unwrap();
        assert_eq!(host.home(1000).as_deref(), Some("/home/u"));
        assert_eq!((host.home(7), host.home(9)), (None, None));
        fs::write(
            temp.path().join("etc/subuid"),
            "x\nu:100000:65536\n7:200000:1\n",
        )
        .unwrap();
        assert_eq!(
            (host.lender(100_000), host.lender(165_535)),
            (Some(1000), Some(1000))
        );
        assert_eq!(
            (host.lender(165_536), host.lender(200_000)),
            (None, Some(7))
        );
    }

    #[test]
    fn the_keys_of_engines_are_read() {
        let text =
            "version = 2\nroot = \"/srv/c\" # here\n[storage]\n graphroot='/g' \n[x]\nroot = 7\n";
        assert_eq!(toml_text(text, "", "root"), Some("/srv/c"));
        assert_eq!(toml_text(text, "storage", "graphroot"), Some("/g"));
        assert_eq!(toml_text(text, "x", "root"), None);
        assert_eq!(toml_text("[[[[=\n=\n", "", ""), None);
    }
}
