//! Listens for the kernel's connections with a site's helper, as systemd would have it listen.

use crate::core_pattern::CorePattern;
use crate::run::eventually;
use crate::site::{Site, text};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A listener of a site; ends with the test.
pub struct Listener {
    child: Child,
    socket: PathBuf,
}

impl Listener {
    /// Starts it and waits until it listens.
    #[track_caller]
    pub fn start(site: &Site) -> Self {
        let socket = site.path().join("aground-coredump.sock");
        let mut listener = Command::new(site.program("aground-collect"));
        listener.arg("--socket").arg(site.state()).arg(&socket);
        listener.stdin(Stdio::null()).stderr(Stdio::null());
        let child = listener.spawn().expect("start the listener");
        eventually(Duration::from_secs(10), || {
            UnixStream::connect(&socket).map_err(|error| error.to_string())
        });
        Self { child, socket }
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Points the kernel at it. The caller has claimed the setting.
    #[track_caller]
    pub fn install(&self, site: &Site) {
        let installed = site.install_with(&["--interface=socket", "--socket", text(&self.socket)]);
        assert!(installed.ok().contains("a socket, as asked for"));
        assert_eq!(CorePattern::value(), format!("@@{}", self.socket.display()));
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
