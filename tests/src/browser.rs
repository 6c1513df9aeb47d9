//! Starts chromedriver for one test.

use crate::run::eventually;
use crate::site::free_port;
use serde_json::{Value, json};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running chromedriver; ends when dropped.
pub struct Chromedriver {
    process: Child,
    port: u16,
}

impl Chromedriver {
    /// Starts it and waits until it answers.
    pub fn start() -> Self {
        let port = free_port();
        let process = Command::new("setpriv")
            .args([
                "--pdeathsig",
                "TERM",
                "chromedriver",
                &format!("--port={port}"),
                "--silent",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start chromedriver");
        let driver = Self { process, port };
        eventually(Duration::from_secs(30), || {
            TcpStream::connect(("127.0.0.1", port))
                .map(drop)
                .map_err(|error| format!("chromedriver: {error}"))
        });
        driver
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address for a `WebDriver` client.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Chromedriver {
    fn drop(&mut self) {
        // Asked nicely it ends its browsers; killed it leaves them.
        crate::site::signal(self.process.id(), rustix::process::Signal::TERM);
        let _ = self.process.wait();
    }
}

/// Capabilities of a headless Chromium, with JavaScript or without, in light or dark.
pub fn chromium(javascript: bool, dark: bool) -> serde_json::Map<String, Value> {
    let mut arguments = vec![
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ];
    if dark {
        arguments.push("--force-dark-mode");
        arguments.push("--blink-settings=preferredColorScheme=0");
    }
    let allowed = if javascript { 1 } else { 2 };
    let options = json!({
        "binary": "/usr/bin/chromium",
        "args": arguments,
        "prefs": { "profile.managed_default_content_settings.javascript": allowed },
    });
    let mut capabilities = serde_json::Map::new();
    capabilities.insert("goog:chromeOptions".to_owned(), options);
    capabilities
}
