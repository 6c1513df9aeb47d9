//! Reads `/proc/P/mountinfo` (`proc_pid_mountinfo(5)`).

use crate::bounded::read_proc_at;
use crate::record::Mount;
use crate::text::{escape_bytes, unescape_octal};
use rustix::fd::AsFd;

/// Most bytes taken, and most mounts kept.
const MAX_BYTES: usize = 256 * 1024;
const MAX_MOUNTS: usize = 512;
/// Longest path kept.
const MAX_PATH: usize = 1024;

/// The mounts of the process's namespace.
pub(super) fn of(proc: &impl AsFd) -> Vec<Mount> {
    let text = read_proc_at(proc, "mountinfo", MAX_BYTES).unwrap_or_default();
    mounts(&text.0)
}

fn mounts(text: &[u8]) -> Vec<Mount> {
    let lines = text.split(|b| *b == b'\n');
    lines.filter_map(mount).take(MAX_MOUNTS).collect()
}

/// `36 35 98:0 /root /path rw,noatime master:1 - ext3 /dev/root rw`: any number of optional
/// fields before the hyphen.
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ').skip(3);
    let (root, path, options) = (fields.next()?, fields.next()?, fields.next()?);
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let (kind, source) = (rest.next()?, rest.next()?);
    let text = |field: &[u8]| escape_bytes(&unescape_octal(field), MAX_PATH);
    Some(Mount {
        path: text(path),
        kind: text(kind),
        source: text(source),
        root: text(root),
        read_only: options.split(|b| *b == b',').any(|option| option == b"ro"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_and_damage_is_skipped() {
        let text = b"36 35 98:0 /sub /a\\040b ro,noatime master:1 shared:2 - ext4 /dev/root rw\n\
            junk\n37 36 0:1 / /tmp\xff rw - tmpfs tmpfs rw\n1 2 3 4 5 6 7\n38 1 0:2 / /x\\9 rw - a b c";
        let found = mounts(text);
        let paths: Vec<_> = found.iter().map(|mount| mount.path.as_str()).collect();
        assert_eq!(paths, ["/a b", "/tmp\\xff", "/x\\9"]);
        let expected = Mount {
            path: "/a b".to_owned(),
            kind: "ext4".to_owned(),
            source: "/dev/root".to_owned(),
            root: "/sub".to_owned(),
            read_only: true,
        };
        assert_eq!(found.first(), Some(&expected));
        assert_eq!(mounts(&[b'\\'; 100]), vec![]);
    }
}
