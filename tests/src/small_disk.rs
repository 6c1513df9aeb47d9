//! A real file system of a few megabytes, to be filled to the last byte.

use crate::run::run;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A mounted ext4 file system in a file; unmounted when dropped.
pub struct SmallDisk {
    _image: NamedTempFile,
    mounted_at: PathBuf,
}

impl SmallDisk {
    /// Makes a file system of `mebibytes` and mounts it on a directory. Nothing is set aside for
    /// root, so that full is full for everybody.
    pub fn mount(at: &Path, mebibytes: u64) -> Self {
        let image = NamedTempFile::new().expect("a file for the file system");
        image.as_file().set_len(mebibytes << 20).expect("its size");
        let path = image.path().to_str().expect("a plain path");
        run("mkfs.ext4", &["-q", "-F", "-m", "0", path]).ok();
        let target = at.to_str().expect("a plain path");
        run("mount", &["-o", "loop", path, target]).ok();
        Self {
            _image: image,
            mounted_at: at.to_owned(),
        }
    }

    /// Leaves nothing free, also when somebody is making room at the same time.
    pub fn fill(&self) {
        for _ in 0..20 {
            self.add_ballast();
            if self.free() == 0 {
                return;
            }
        }
        panic!("{} bytes are free", self.free());
    }

    /// Large blocks first, then whatever still fits.
    fn add_ballast(&self) {
        let ballast = self.mounted_at.join("ballast");
        fs::create_dir_all(&ballast).expect("a directory for the ballast");
        for kibibytes in [65_536, 1024, 64, 4] {
            let size = format!("{kibibytes}K");
            let free_name = (0..).map(|number| ballast.join(format!("{size}-{number}")));
            for name in free_name.filter(|name| !name.exists()) {
                let path = name.to_str().expect("a plain path");
                if run("fallocate", &["-l", &size, path]).code != Some(0) {
                    let _ = fs::remove_file(name);
                    break;
                }
            }
        }
        let last = File::options()
            .append(true)
            .create(true)
            .open(ballast.join("last"));
        let Ok(mut last) = last else { return };
        while last
            .write_all(&[0; 1024])
            .and_then(|()| last.sync_all())
            .is_ok()
        {}
    }

    /// Takes out what [`Self::fill`] put in.
    pub fn empty(&self) {
        fs::remove_dir_all(self.mounted_at.join("ballast")).expect("remove the ballast");
    }

    /// Bytes an unprivileged user may still write.
    pub fn free(&self) -> u64 {
        let system = rustix::fs::statvfs(&self.mounted_at).expect("look at the disk");
        system.f_bavail * system.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open there must not keep the mount.
        let target = self.mounted_at.to_str().expect("a plain path");
        let unmounted = run("umount", &["-l", target]);
        if !std::thread::panicking() {
            unmounted.ok();
        }
    }
}
