//! Another program that handles crashes, as systemd-coredump or apport would: a script that writes
//! down what it was given.

use crate::site::{Site, text};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// The handler; each crash it gets has a directory below the site's.
pub struct Handler {
    program: PathBuf,
    given: PathBuf,
}

/// What it was given of one crash.
#[derive(Debug)]
pub struct Given {
    /// Its arguments.
    pub arguments: Vec<String>,
    /// How it was started: umask, limit of its own core, working directory, whether descriptor 3
    /// is a pidfd of the process, and whether the process was still there.
    pub surroundings: String,
    /// What came on its standard input.
    pub core: PathBuf,
}

impl Handler {
    /// A handler that writes everything down and then does what `end` says, in sh.
    pub fn new(site: &Site, end: &str) -> Self {
        let handler = Self {
            program: site.path().join("h"),
            given: site.path().join("given"),
        };
        fs::create_dir(&handler.given).expect("make a directory");
        let script = format!(
            r#"#!/bin/sh
here={given}/$$
mkdir $here
for word in "$@"; do printf '%s\n' "$word"; done >$here/arguments
{{
    umask
    ulimit -c
    pwd
    pidfd=$(sed -n 's/^Pid:\t*//p' /proc/self/fdinfo/3)
    test "$pidfd" = "$1" && echo pidfd
    test -e /proc/$1/exe && echo there
}} >$here/surroundings 2>/dev/null
{end}
"#,
            given = text(&handler.given)
        );
        fs::write(&handler.program, script).expect("write the handler");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&handler.program, mode).expect("set permissions");
        handler
    }

    /// One that reads the whole core.
    pub fn reading(site: &Site) -> Self {
        Self::new(site, "cat >$here/core; mv $here $here.done")
    }

    /// Its `core_pattern`. The first argument must be `%P`.
    pub fn pattern(&self, arguments: &str) -> String {
        format!("|{} {arguments}", text(&self.program))
    }

    /// Its program.
    pub fn program(&self) -> &str {
        text(&self.program)
    }

    /// Processes of it that have not finished, or never will.
    pub fn begun(&self) -> Vec<u32> {
        let entries = fs::read_dir(&self.given).expect("list what was given");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        names
            .filter_map(|name| name.to_str()?.parse().ok())
            .collect()
    }

    /// What it was given and has finished with, in no particular order.
    pub fn given(&self) -> Vec<Given> {
        let entries = fs::read_dir(&self.given).expect("list what was given");
        let entries = entries.map(|entry| entry.expect("an entry").path());
        entries
            .filter(|path| path.extension().is_some_and(|end| end == "done"))
            .map(|path| {
                let read = |name: &str| fs::read_to_string(path.join(name)).expect("read");
                Given {
                    arguments: read("arguments").lines().map(str::to_owned).collect(),
                    surroundings: read("surroundings"),
                    core: path.join("core"),
                }
            })
            .collect()
    }
}
