//! Builds the crashing programs of `tests/programs` once, and images of them.

use crate::house::{build_dir, root};
use crate::run::{finish, run};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How the programs are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Build {
    /// Optimisation of C and C++, such as `-O2`.
    pub optimise: &'static str,
    /// 1, or 2 for the next release of the same code, laid out differently.
    pub release: u8,
}

/// What a release build would be.
pub const RELEASE: Build = Build {
    optimise: "-O2",
    release: 1,
};
/// The release after it.
pub const NEXT_RELEASE: Build = Build {
    optimise: "-O2",
    release: 2,
};
/// Without optimisation.
pub const DEBUG: Build = Build {
    optimise: "-O0",
    release: 1,
};

/// An image of one program and the root file system it was made of.
#[derive(Clone, Debug)]
pub struct Image {
    /// Image reference, such as `aground-it/shop-api:0123456789abcdef`.
    pub reference: String,
    /// The root file system on the host: the same files as inside.
    pub root: PathBuf,
    /// The executable inside, such as `/app/shop-api`.
    pub executable: &'static str,
}

impl Build {
    /// The image of a program in this build; made when it is not there yet.
    #[track_caller]
    pub fn image(self, name: &'static str) -> Image {
        let key = format!("{:016x}", self.key());
        let out = build_dir().join("it-images").join(&key);
        fs::create_dir_all(&out).expect("make the image directory");
        let lock = File::create(out.join(format!(".{name}.lock"))).expect("open the lock");
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).expect("lock");
        let reference = format!("aground-it/{name}:{key}");
        let done = out.join(format!(".{name}.done"));
        if !done.exists() {
            self.compile(&out, name);
            import(&out, name, &reference);
            fs::write(&done, "").expect("remember the build");
        } else if run("docker", &["image", "inspect", &reference]).code != Some(0) {
            import(&out, name, &reference);
        }
        Image {
            reference,
            root: out.join(name),
            executable: executable(name),
        }
    }

    fn compile(self, out: &Path, name: &str) {
        let mut build = Command::new(root().join("tests/programs/build"));
        build.arg(out).arg(name);
        build
            .env("AGROUND_OPT", self.optimise)
            .env("AGROUND_RELEASE", self.release.to_string());
        finish(&mut build).ok();
    }

    /// Changes with the sources, the scripts and the way of compiling.
    fn key(self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        for file in crate::house::files(&root().join("tests/programs")) {
            file.hash(&mut hasher);
            fs::read(&file).expect("read a program").hash(&mut hasher);
        }
        hasher.finish()
    }
}

fn import(out: &Path, name: &str, reference: &str) {
    let mut import = Command::new(root().join("tests/programs/import"));
    import.arg(out).args([name, reference]);
    finish(&mut import).ok();
}

fn executable(name: &str) -> &'static str {
    match name {
        "shop-api" => "/app/shop-api",
        "payments" => "/app/payments",
        "search" => "/app/search",
        "ledger" => "/app/ledger",
        "gateway" => "/app/gateway",
        "inventory" => "/app/inventory",
        "reports" => "/usr/bin/python3.11",
        _ => panic!("no program is called {name}"),
    }
}
