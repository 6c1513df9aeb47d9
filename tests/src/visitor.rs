//! Drives a browser through its pages and asks it what went wrong there.

use crate::browser::{Chromedriver, chromium};
use crate::http;
use serde_json::{Value, json};
use std::process::{Command, Stdio};

/// A browser with one window; ends when dropped.
pub struct Visitor {
    port: u16,
    session: String,
}

impl Visitor {
    /// Opens a browser that keeps what it logs, with JavaScript or without.
    #[track_caller]
    pub fn new(driver: &Chromedriver, javascript: bool) -> Self {
        let mut capabilities = chromium(javascript, false);
        capabilities.insert("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL" }));
        // Of what a page opens by itself the test must hear.
        capabilities.insert("unhandledPromptBehavior".to_owned(), json!("ignore"));
        // Of how long something takes no test says anything.
        let long = 600_000;
        let timeouts = json!({ "script": long, "pageLoad": long });
        capabilities.insert("timeouts".to_owned(), timeouts);
        let asked = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let port = driver.port();
        let answer = send(port, "/session", &asked);
        let session = answer["sessionId"].as_str().expect("a session").to_owned();
        Self { port, session }
    }

    /// A command of `WebDriver`, such as `execute/sync`.
    #[track_caller]
    pub fn command(&self, name: &str, parameters: &Value) -> Value {
        let path = format!("/session/{}/{name}", self.session);
        send(self.port, &path, parameters)
    }

    /// A command of the developer tools, such as `Emulation.setDeviceMetricsOverride`.
    #[track_caller]
    pub fn tool(&self, name: &str, parameters: &Value) -> Value {
        let call = json!({ "cmd": name, "params": parameters });
        self.command("goog/cdp/execute", &call)
    }

    /// Makes the window so wide and prefers dark or light pages.
    #[track_caller]
    pub fn look(&self, width: u32, dark: bool) {
        let height = if width < 800 { 844 } else { 1000 };
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 800
        });
        self.tool("Emulation.setDeviceMetricsOverride", &metrics);
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.tool(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        );
    }

    /// Opens an address and waits until it is loaded.
    #[track_caller]
    pub fn open(&self, url: &str) {
        self.command("url", &json!({ "url": url }));
    }

    /// The value of an expression in the page.
    #[track_caller]
    pub fn value(&self, expression: &str) -> Value {
        let script = json!({ "script": format!("return {expression}"), "args": [] });
        self.command("execute/sync", &script)
    }

    /// Types keys, as a person would: into whatever has the focus.
    #[track_caller]
    pub fn press(&self, keys: &str) {
        let press = |key: char| {
            let key = key.to_string();
            [
                json!({ "type": "keyDown", "value": key }),
                json!({ "type": "keyUp", "value": key }),
            ]
        };
        let keys: Vec<Value> = keys.chars().flat_map(press).collect();
        let actions = json!({ "actions": [{ "type": "key", "id": "keys", "actions": keys }] });
        self.command("actions", &actions);
    }

    /// What the browser complained about since this was asked last: errors of scripts, violations of
    /// the Content-Security-Policy, files that did not load.
    #[track_caller]
    pub fn complaints(&self) -> Vec<String> {
        let entries = self.command("se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().expect("a log").iter();
        entries
            .filter(|entry| entry["level"] != "INFO" && entry["level"] != "DEBUG")
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Writes a picture of the whole page.
    #[track_caller]
    pub fn photograph(&self, to: &std::path::Path) {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.tool("Page.captureScreenshot", &whole);
        let mut decode = Command::new("base64")
            .arg("--decode")
            .stdin(Stdio::piped())
            .stdout(std::fs::File::create(to).expect("make a picture's file"))
            .spawn()
            .expect("run base64");
        let text = picture["data"].as_str().expect("a picture");
        let mut input = decode.stdin.take().expect("its input");
        std::io::Write::write_all(&mut input, text.as_bytes()).expect("write the picture");
        drop(input);
        assert!(decode.wait().expect("wait for base64").success());
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let path = format!("/session/{}", self.session);
        let end = format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        // The driver ends its browsers when it ends.
        let _ = http::try_request(self.port, &end);
    }
}

#[track_caller]
fn send(port: u16, path: &str, parameters: &Value) -> Value {
    let body = parameters.to_string();
    let answer = http::request(
        port,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    );
    let mut json = answer.json();
    assert_eq!(answer.status, 200, "{path}: {json:#}");
    json["value"].take()
}
