//! Opens a core that belongs to root, for root: the daemon may not read it, so it cannot hand it
//! out, and where it says the file is need not be true.

use super::session::Failure;
use crate::client::ClientError;
use aground_helper::bounded::{open_dir, open_dir_at, open_regular_at};
use aground_helper::id::DumpId;
use aground_helper::layout::{CORE, DUMPS};
use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes decompressed at a time.
const PIECE: usize = 256 * 1024;

/// The core of dump `id` after the daemon refused it with `refusal`, when we are root beside it.
pub fn open(refusal: ClientError, local: bool, id: &DumpId) -> Result<PrivateCore, Failure> {
    let Some(path) = refusal.root_only() else {
        return Err(refusal.into());
    };
    if !local {
        return Err(refusal.into());
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::Message(format!("{refusal} (try sudo)")));
    }
    let opened = open_beneath(path, id).and_then(PrivateCore::new);
    opened.map_err(|error| {
        Failure::Message(format!(
            "cannot open the core at {}: {error}",
            path.display()
        ))
    })
}

/// Opens `…/dumps/<id>/core.zst`, following no link below the state directory, which belongs to
/// a user who is not root; and takes only what the helper alone makes: a plain file of root's
/// that has no other name.
fn open_beneath(path: &Path, id: &DumpId) -> io::Result<File> {
    let refused = |why| io::Error::new(io::ErrorKind::PermissionDenied, why);
    let below = Path::new(DUMPS).join(id.as_str()).join(CORE);
    let state = path
        .ancestors()
        .nth(below.components().count())
        .filter(|state| state.is_absolute() && state.join(&below) == path)
        .ok_or_else(|| refused("that is not where the core of this dump would be"))?;
    let dumps = open_dir_at(open_dir(state)?, DUMPS)?;
    let file = open_regular_at(open_dir_at(dumps, id.as_str())?, CORE)?;
    let found = file.metadata()?;
    if found.uid() != 0 || found.nlink() != 1 || found.mode() & 0o077 != 0 {
        return Err(refused("it is not a file that only root can have made"));
    }
    Ok(file)
}

/// Such a core, decompressed as it is read.
pub struct PrivateCore(zstd::stream::read::Decoder<'static, BufReader<File>>);

impl PrivateCore {
    fn new(file: File) -> io::Result<Self> {
        zstd::stream::read::Decoder::new(file).map(Self)
    }

    /// The next bytes; `None` at the end.
    pub fn piece(&mut self) -> io::Result<Option<Bytes>> {
        let mut piece = BytesMut::zeroed(PIECE);
        let length = self.0.read(&mut piece)?;
        piece.truncate(length);
        Ok((length > 0).then(|| piece.freeze()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn only_the_helpers_own_file_is_opened() {
        let state = tempfile::tempdir().unwrap();
        let id: DumpId = "ab".repeat(16).parse().unwrap();
        let dump = state.path().join("dumps").join(id.as_str());
        fs::create_dir_all(&dump).unwrap();
        let core = dump.join("core.zst");
        let private = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o600));
        fs::write(&core, zstd::encode_all(&b"ELF"[..], 1).unwrap()).unwrap();
        private(&core).unwrap();
        let mut opened = PrivateCore::new(open_beneath(&core, &id).unwrap()).unwrap();
        assert_eq!(opened.piece().unwrap().unwrap(), "ELF");
        assert_eq!(opened.piece().unwrap(), None);

        let other: DumpId = "cd".repeat(16).parse().unwrap();
        for (path, id) in [
            (core.clone(), &other),
            (dump.join("record.json"), &id),
            ("dumps".into(), &id),
            ("/etc/shadow".into(), &id),
        ] {
            assert!(open_beneath(&path, id).is_err(), "{}", path.display());
        }
        let elsewhere = state.path().join("elsewhere");
        fs::hard_link(&core, &elsewhere).unwrap();
        assert!(open_beneath(&core, &id).is_err(), "it has two names");
        fs::remove_file(&core).unwrap();
        symlink(&elsewhere, &core).unwrap();
        assert!(open_beneath(&core, &id).is_err(), "it is a link");
        fs::remove_file(&core).unwrap();
        fs::write(&core, "").unwrap();
        fs::set_permissions(&core, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(open_beneath(&core, &id).is_err(), "others can read it");
        private(&core).unwrap();
        std::os::unix::fs::chown(&core, Some(12345), None).unwrap();
        assert!(open_beneath(&core, &id).is_err(), "it is another's");
    }
}
