//! Analyses a core from files on this machine: `aground analyze`, without any daemon.
//!
//! The only part of the analysis that opens files by paths found in a core. Paths below a
//! sysroot are resolved inside it (no link leads out), only regular files are opened, and source
//! text is read only from files that look like source.

use crate::analyze::{self, Facts};
use crate::dump::NotACore;
use crate::dump::source::CoreBytes;
use crate::mapped::Bytes;
use crate::modules::{ModuleSource, Offer, Wanted, WantedDebug, WantedUnit};
use crate::report::Report;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where distributions keep separate debug files.
const DEBUG_DIRECTORY: &str = "/usr/lib/debug";
/// Larger source files are not read.
const SOURCE_MAX: u64 = 4 << 20;
/// Names of files whose text may be shown: a core names the file, and a hostile one would name
/// `/etc/shadow`.
const SOURCE_EXTENSIONS: [&str; 28] = [
    "c", "cc", "cpp", "cxx", "c++", "C", "h", "hh", "hpp", "hxx", "inc", "inl", "ipp", "tcc", "rs",
    "go", "s", "S", "asm", "d", "zig", "swift", "m", "mm", "f", "f90", "adb", "nim",
];

/// What to analyse, and where to look for files.
#[derive(Clone, Debug, Default)]
pub struct OfflineRequest {
    /// The core: ELF, plain or compressed with zstd.
    pub core: PathBuf,
    /// The program, wherever it lay in the process's world.
    pub exe: Option<PathBuf>,
    /// The root of the process's world, such as an unpacked image.
    pub sysroot: Option<PathBuf>,
    /// Directories of separate debug files, beside `/usr/lib/debug`.
    pub debug_dirs: Vec<PathBuf>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// A file that was named could not be opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The core is none.
    #[error("{path}: {source}")]
    NotACore {
        /// The file.
        path: PathBuf,
        /// Why.
        source: NotACore,
    },
}

/// Analyses a core file.
pub fn analyze(request: &OfflineRequest) -> Result<Report, OfflineError> {
    let path = &request.core;
    let open = |path: &Path| {
        open_regular(path)
            .and_then(|file| Bytes::of_file(&file))
            .map_err(|source| OfflineError::Open {
                path: path.to_owned(),
                source,
            })
    };
    let core = CoreBytes::new(open(path)?);
    if let Some(exe) = &request.exe {
        open(exe)?;
    }
    analyze::analyze(Some(core), &mut Directories(request), &Facts::default()).map_err(|source| {
        OfflineError::NotACore {
            path: path.clone(),
            source,
        }
    })
}

/// Files of this machine.
struct Directories<'r>(&'r OfflineRequest);

impl Directories<'_> {
    /// Opens a path of the process's world: below the sysroot if there is one, else as it is.
    fn open(&self, path: &str) -> Option<(File, &'static str)> {
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        if !path.starts_with('/') {
            return None;
        }
        let inside = self
            .0
            .sysroot
            .as_ref()
            .and_then(|root| open_inside(root, path).ok());
        inside
            .map(|file| (file, "sysroot"))
            .or_else(|| Some((open_regular(Path::new(path)).ok()?, "host")))
    }

    fn offer(&self, path: &str) -> Option<Offer> {
        let (file, origin) = self.open(path)?;
        Some(Offer {
            bytes: Bytes::of_file(&file).ok()?,
            origin,
        })
    }

    /// A path below each debug directory: those given, then the system's.
    fn in_debug_directories(&self, relative: &str) -> Vec<Offer> {
        let given = self.0.debug_dirs.iter().filter_map(|directory| {
            let file = open_inside(directory, relative).ok()?;
            Some(Offer {
                bytes: Bytes::of_file(&file).ok()?,
                origin: "given",
            })
        });
        given
            .chain(self.offer(&format!("{DEBUG_DIRECTORY}/{relative}")))
            .collect()
    }

    fn by_link(&self, module: &str, name: &str, crc: u32) -> Option<Offer> {
        if name.contains('/') {
            return None;
        }
        let folder = module.rsplit_once('/').map_or("", |(folder, _)| folder);
        let beside = [
            format!("{folder}/{name}"),
            format!("{folder}/.debug/{name}"),
        ];
        let beside = beside.iter().filter_map(|path| self.offer(path));
        let central = [format!("{folder}/{name}"), name.to_owned()];
        let central = central
            .iter()
            .flat_map(|path| self.in_debug_directories(path.trim_start_matches('/')));
        beside
            .chain(central)
            .find(|offer| crc32fast::hash(&offer.bytes) == crc)
    }
}

impl ModuleSource for Directories<'_> {
    fn images(&mut self, wanted: Wanted<'_>) -> Vec<Offer> {
        let given = self
            .0
            .exe
            .as_ref()
            .filter(|_| wanted.is_executable)
            .and_then(|path| {
                let bytes = Bytes::of_file(&open_regular(path).ok()?).ok()?;
                Some(Offer {
                    bytes,
                    origin: "given",
                })
            });
        let mut offers: Vec<Offer> = given.into_iter().collect();
        offers.extend(self.offer(wanted.path));
        if offers.iter().all(|offer| offer.origin != "host") && self.0.sysroot.is_some() {
            let path = wanted
                .path
                .strip_suffix(" (deleted)")
                .unwrap_or(wanted.path);
            let host = path
                .starts_with('/')
                .then(|| open_regular(Path::new(path)).ok())
                .flatten();
            let host = host.and_then(|file| Bytes::of_file(&file).ok());
            offers.extend(host.map(|bytes| Offer {
                bytes,
                origin: "host",
            }));
        }
        offers
    }

    fn debug_file(&mut self, wanted: WantedDebug<'_>) -> Option<Offer> {
        let by_id = wanted.build_id.and_then(|id| {
            let (head, rest) = id.split_at_checked(2)?;
            self.in_debug_directories(&format!(".build-id/{head}/{rest}.debug"))
                .into_iter()
                .next()
        });
        by_id.or_else(|| self.by_link(wanted.module, wanted.link?.0, wanted.link?.1))
    }

    fn shared_debug_file(&mut self, path: &str, build_id: &str) -> Option<Offer> {
        let (head, rest) = build_id.split_at_checked(2)?;
        let by_id = self.in_debug_directories(&format!(".build-id/{head}/{rest}.debug"));
        // Debian writes the path relative to the debug file: ../../.dwz/x86_64-linux-gnu/x.debug.
        let name = path
            .rsplit_once(".dwz/")
            .map(|(_, name)| format!(".dwz/{name}"));
        let by_name = name
            .map(|name| self.in_debug_directories(&name))
            .unwrap_or_default();
        by_id.into_iter().chain(by_name).next()
    }

    fn unit_files(&mut self, wanted: WantedUnit<'_>) -> Vec<Offer> {
        let package = format!("{}.dwp", wanted.module);
        let name = wanted.name.unwrap_or_default();
        let compiled = match wanted.directory.filter(|_| !name.starts_with('/')) {
            Some(directory) => format!("{directory}/{name}"),
            None => name.to_owned(),
        };
        let file_name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let given: Vec<String> = [&package, &compiled].map(|path| file_name(path)).into();
        let given = given
            .iter()
            .flat_map(|name| self.in_debug_directories(name));
        let there = [package.as_str(), compiled.as_str()];
        let there = there.iter().filter_map(|path| self.offer(path));
        given.chain(there).collect()
    }

    fn source(&mut self, path: &str) -> Option<String> {
        let extension = Path::new(path).extension()?.to_str()?;
        if !SOURCE_EXTENSIONS.contains(&extension) {
            return None;
        }
        let (file, _) = self.open(path)?;
        let mut text = Vec::new();
        file.take(SOURCE_MAX).read_to_end(&mut text).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Opens a regular file; neither waits for a pipe nor takes a device.
fn open_regular(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    regular(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Opens a path as a process would whose root directory is `root`: links are followed inside it.
fn open_inside(root: &Path, path: &str) -> io::Result<File> {
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::openat(CWD, root, directory, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    regular(File::from(rustix::fs::openat2(
        root,
        path,
        flags,
        Mode::empty(),
        resolve,
    )?))
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("not a regular file"))
    }
}
