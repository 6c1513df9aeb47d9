//! What crashes: four programs built in many ways, and Debian's servers and interpreters at work.

use aground_testkit::house::{build_dir, root};
use aground_testkit::run::finish;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One crash.
pub struct Case {
    /// Its name in the table.
    pub name: &'static str,
    kind: Kind,
}

enum Kind {
    /// A program of `tests/agreement`, built by this command.
    Built(&'static str, Debug),
    /// A program that Debian built, started and killed by `tests/agreement/at-work`.
    AtWork(PathBuf),
}

#[derive(Clone, Copy, PartialEq)]
enum Debug {
    Inside,
    /// Split off into a file that the program names, as distributions do.
    Separate,
}

/// All crashes.
pub fn cases() -> Vec<Case> {
    use Debug::{Inside, Separate};
    let built = [
        ("c-gcc-O0", "gcc -g -O0 -pthread work.c", Inside),
        ("c-gcc-Og", "gcc -g -Og -pthread work.c", Inside),
        ("c-gcc-O2", "gcc -g -O2 -pthread work.c", Inside),
        ("c-gcc-O3", "gcc -g -O3 -pthread work.c", Inside),
        ("c-gcc-Os", "gcc -g -Os -pthread work.c", Inside),
        ("c-gcc-lto", "gcc -g -O2 -flto -pthread work.c", Inside),
        ("c-gcc-static", "gcc -g -O2 -static -pthread work.c", Inside),
        (
            "c-gcc-no-pie",
            "gcc -g -O2 -no-pie -fno-pie -pthread work.c",
            Inside,
        ),
        ("c-gcc-stripped", "gcc -g -O2 -pthread work.c", Separate),
        (
            "c-gcc-dwarf4-gz",
            "gcc -g -gdwarf-4 -gz -O2 -pthread work.c",
            Inside,
        ),
        (
            "c-gcc-debug-frame",
            "gcc -g -O2 -fno-asynchronous-unwind-tables -pthread work.c",
            Inside,
        ),
        (
            "c-gcc-realign",
            "gcc -g -O2 -mstackrealign -pthread work.c",
            Inside,
        ),
        ("c-clang-O0", "clang -g -O0 -pthread work.c", Inside),
        ("c-clang-O2", "clang -g -O2 -pthread work.c", Inside),
        (
            "c-clang-lto",
            "clang -g -O3 -flto -fuse-ld=lld -pthread work.c",
            Inside,
        ),
        ("c-musl", "musl-gcc -g -O2 work.c", Inside),
        ("c-musl-static", "musl-gcc -g -O2 -static work.c", Inside),
        ("cc-gcc-O0", "g++ -g -O0 -pthread work.cc", Inside),
        ("cc-gcc-O2", "g++ -g -O2 -pthread work.cc", Inside),
        ("cc-gcc-O3-lto", "g++ -g -O3 -flto -pthread work.cc", Inside),
        (
            "cc-gcc-static",
            "g++ -g -O2 -static -pthread work.cc",
            Inside,
        ),
        ("cc-gcc-stripped", "g++ -g -O2 -pthread work.cc", Separate),
        ("cc-clang-O2", "clang++ -g -O2 -pthread work.cc", Inside),
        (
            "rs-debug",
            "rustc --edition 2024 -g -C panic=abort work.rs",
            Inside,
        ),
        (
            "rs-release",
            "rustc --edition 2024 -g -O -C panic=abort work.rs",
            Inside,
        ),
        (
            "rs-lto",
            "rustc --edition 2024 -g -O -C lto=fat -C codegen-units=1 -C panic=abort work.rs",
            Inside,
        ),
        (
            "rs-stripped",
            "rustc --edition 2024 -g -O -C panic=abort work.rs",
            Separate,
        ),
        ("go", "go build work.go", Inside),
        (
            "go-no-inline",
            "go build -gcflags=all=-N\u{a0}-l work.go",
            Inside,
        ),
    ];
    let at_work = [
        ("bash", "/bin/bash"),
        ("python3", "/usr/bin/python3"),
        ("sqlite3", "/usr/bin/sqlite3"),
        ("node", "/usr/bin/node"),
        ("java", "/usr/bin/java"),
        ("redis-server", "/usr/bin/redis-server"),
        ("nginx", "/usr/sbin/nginx"),
        ("postgres", "/usr/lib/postgresql/*/bin/postgres"),
    ];
    let built = built.map(|(name, command, debug)| Case {
        name,
        kind: Kind::Built(command, debug),
    });
    let at_work = at_work.map(|(name, path)| Case {
        name,
        kind: Kind::AtWork(installed(path)),
    });
    built.into_iter().chain(at_work).collect()
}

/// The file behind a path, which may be a link or hold a version.
fn installed(path: &str) -> PathBuf {
    let found = finish(Command::new("bash").args(["-c", "readlink -f $1", "bash", path])).ok();
    PathBuf::from(found.trim())
}

impl Case {
    /// The program's file.
    pub fn executable(&self) -> PathBuf {
        match &self.kind {
            Kind::Built(..) => place().join(self.name),
            Kind::AtWork(path) => path.clone(),
        }
    }

    /// Builds it, unless it is built already.
    #[track_caller]
    pub fn build(&self) {
        if let Kind::Built(command, debug) = self.kind {
            self.compile(command, debug);
        }
    }

    /// Crashes it; the kernel writes the core.
    #[track_caller]
    pub fn crash(&self, directory: &Path) {
        match self.kind {
            Kind::Built(..) => {
                let mut start = Command::new("bash");
                start.args(["-c", r#"ulimit -c unlimited; exec "$@""#, "bash"]);
                start.arg(self.executable()).env("GOTRACEBACK", "crash");
                finish(&mut start);
            }
            Kind::AtWork(_) => {
                let mut start = Command::new(root().join("tests/agreement/at-work"));
                let own = directory.join(self.name);
                std::fs::create_dir(&own).expect("make a directory");
                start.arg(self.name).arg(own);
                finish(&mut start).ok();
            }
        }
    }

    fn compile(&self, command: &str, debug: Debug) {
        let out = self.executable();
        let words: Vec<&str> = command.split(' ').collect();
        let [compiler, options @ .., source] = words.as_slice() else {
            panic!("no command: {command}");
        };
        let source = root().join("tests/agreement").join(source);
        let built_at = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
        if built_at(&out) > built_at(&source) {
            return;
        }
        std::fs::create_dir_all(place()).expect("make a directory");
        let mut build = Command::new(compiler);
        // A no-break space stands for a space inside an option.
        build.args(options.iter().map(|option| option.replace('\u{a0}', " ")));
        build.arg("-o").arg(&out).arg(source);
        build
            .env("GOCACHE", place().join("go-cache"))
            .env("GO111MODULE", "off");
        finish(&mut build).ok();
        if debug == Debug::Separate {
            split(&out);
        }
    }
}

/// Moves debug information into a file of its own, named by a debug link.
fn split(program: &Path) {
    let file = program.with_extension("debug");
    let objcopy = |arguments: &[&std::ffi::OsStr]| {
        finish(Command::new("objcopy").args(arguments)).ok();
    };
    objcopy(&[
        "--only-keep-debug".as_ref(),
        program.as_ref(),
        file.as_ref(),
    ]);
    objcopy(&["--strip-all".as_ref(), program.as_ref()]);
    let link = format!("--add-gnu-debuglink={}", file.display());
    objcopy(&[link.as_ref(), program.as_ref()]);
}

fn place() -> PathBuf {
    build_dir().join("agreement")
}
