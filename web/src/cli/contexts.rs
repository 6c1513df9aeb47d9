//! Which machine the Docker CLI works with, and so whose daemon to ask.
//!
//! Contexts are files below the CLI's configuration (docker/cli, cli/context/store). Its
//! `config.json` has room for plugins' own settings: `plugins.dumps.host` is the daemon to ask
//! whatever the engine, `plugins.dumps.host.NAME` the one for the context `NAME`.

use crate::client::Endpoint;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::env;
use std::path::{Path, PathBuf};

/// The Docker CLI's global flags that say which engine is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globals {
    /// `--config DIR`.
    pub config: Option<PathBuf>,
    /// `-H/--host`.
    pub host: Option<String>,
    /// `-c/--context`.
    pub context: Option<String>,
}

/// A variable of the environment; an empty one is none.
pub fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The daemon that belongs to the engine the Docker CLI works with.
pub fn daemon_of_docker(globals: &Globals) -> Result<Endpoint, String> {
    if globals.host.is_some() && globals.context.is_some() {
        return Err("conflicting options: cannot specify both --host and --context".to_owned());
    }
    let directory = configuration(globals);
    let (host, context) = chosen(globals, &directory);
    daemon(&directory, host, context.as_deref())
}

/// The daemon of a Docker context.
pub fn daemon_of_context(name: &str) -> Result<Endpoint, String> {
    daemon(&configuration(&Globals::default()), None, Some(name))
}

fn configuration(globals: &Globals) -> PathBuf {
    let directory = globals.config.clone();
    let directory = directory.or_else(|| variable("DOCKER_CONFIG").map(PathBuf::from));
    let directory = directory.or_else(|| Some(env::home_dir()?.join(".docker")));
    directory.unwrap_or_default()
}

/// The engine's address, or the context that has it, in the CLI's order.
fn chosen(globals: &Globals, directory: &Path) -> (Option<String>, Option<String>) {
    if globals.host.is_some() || globals.context.is_some() {
        return (globals.host.clone(), globals.context.clone());
    }
    if let Some(host) = variable("DOCKER_HOST") {
        return (Some(host), None);
    }
    let context = variable("DOCKER_CONTEXT").or_else(|| {
        let current = settings(directory)?;
        current
            .get("currentContext")?
            .as_str()
            .map(ToOwned::to_owned)
    });
    (None, context)
}

fn daemon(
    directory: &Path,
    host: Option<String>,
    context: Option<&str>,
) -> Result<Endpoint, String> {
    let context = context.filter(|name| !["", "default"].contains(name));
    let engine = match context {
        Some(name) => Some(engine_of(directory, name)?),
        None => host,
    };
    if let Some((key, address)) = own_setting(directory, context) {
        return address
            .parse()
            .map_err(|error| format!("plugins.dumps.{key} in Docker's config.json: {error}"));
    }
    match engine {
        None => Ok(Endpoint::local()),
        Some(host) if host.starts_with("unix://") => Ok(Endpoint::local()),
        Some(host) if host.starts_with("ssh://") => {
            // The rest would be the engine's socket.
            let end = host.get("ssh://".len()..).and_then(|rest| rest.find('/'));
            let end = end.map_or(host.len(), |slash| "ssh://".len() + slash);
            let machine = host.get(..end).unwrap_or_default();
            machine
                .parse()
                .map_err(|_| format!("docker works on {host}, and that is nowhere ssh can be sent"))
        }
        Some(host) => Err(format!(
            "docker works on another machine ({host}): set AGROUND_HOST, or plugins.dumps.host in \
             Docker's config.json, to the aground daemon of that machine"
        )),
    }
}

fn settings(directory: &Path) -> Option<Value> {
    let text = std::fs::read(directory.join("config.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

fn own_setting(directory: &Path, context: Option<&str>) -> Option<(String, String)> {
    let settings = settings(directory)?;
    let own = settings.get("plugins")?.get("dumps")?;
    let keys = context.map(|name| format!("host.{name}"));
    let mut keys = keys.into_iter().chain(["host".to_owned()]);
    keys.find_map(|key| {
        let address = own.get(&key)?.as_str()?.to_owned();
        Some((key, address))
    })
}

/// Contexts are in directories named by the SHA-256 of their name.
fn engine_of(directory: &Path, context: &str) -> Result<String, String> {
    use std::fmt::Write;
    let mut digest = String::new();
    for byte in Sha256::digest(context.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(digest, "{byte:02x}");
    }
    let path = directory
        .join("contexts/meta")
        .join(digest)
        .join("meta.json");
    let text = std::fs::read(path)
        .map_err(|error| format!("docker context \"{context}\" not found: {error}"))?;
    let meta: Value = serde_json::from_slice(&text)
        .map_err(|error| format!("docker context \"{context}\" is damaged: {error}"))?;
    let host = meta
        .pointer("/Endpoints/docker/Host")
        .and_then(|host| host.as_str());
    Ok(host.unwrap_or("unix://").to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_engine_has_its_daemon() {
        let docker = tempfile::tempdir().unwrap();
        let asked = |host: Option<&str>, context: Option<&str>| {
            daemon(docker.path(), host.map(ToOwned::to_owned), context).map(|it| it.to_string())
        };
        let local = Ok(Endpoint::local().to_string());
        assert_eq!(asked(None, None), local);
        assert_eq!(asked(None, Some("default")), local);
        assert_eq!(asked(Some("unix:///run/docker.sock"), None), local);
        let remote = Ok("ssh://ops@far:2222".to_owned());
        assert_eq!(asked(Some("ssh://ops@far:2222"), None), remote);
        assert_eq!(asked(Some("ssh://ops@far:2222/run/d.sock"), None), remote);
        assert!(
            asked(Some("ssh://-oX"), None)
                .unwrap_err()
                .contains("ssh://-oX")
        );
        assert!(
            asked(Some("tcp://far:2376"), None)
                .unwrap_err()
                .contains("AGROUND_HOST")
        );
        assert!(
            asked(None, Some("prod"))
                .unwrap_err()
                .contains("\"prod\" not found")
        );
    }

    #[test]
    fn settings_come_before_what_the_engine_suggests() {
        let docker = tempfile::tempdir().unwrap();
        let meta = docker.path().join("contexts/meta");
        // The SHA-256 of "prod".
        let prod = meta.join("6754af9632a2745e85c293e5aac0863370d9bd3330b9938c00cadfd215227d77");
        std::fs::create_dir_all(&prod).unwrap();
        let write = |path: PathBuf, text: &str| std::fs::write(path, text).unwrap();
        write(
            prod.join("meta.json"),
            r#"{"Endpoints":{"docker":{"Host":"tcp://prod:2376"}}}"#,
        );
        let settings = |text: &str| write(docker.path().join("config.json"), text);
        let asked = |host: Option<&str>, context: Option<&str>| {
            daemon(docker.path(), host.map(ToOwned::to_owned), context).map(|it| it.to_string())
        };
        assert!(asked(None, Some("prod")).is_err());
        settings(r#"{"plugins":{"dumps":{"host.prod":"https://crashes.example"}}}"#);
        assert_eq!(
            asked(None, Some("prod")).unwrap(),
            "https://crashes.example:443"
        );
        assert_eq!(asked(None, None).unwrap(), Endpoint::local().to_string());
        settings(r#"{"plugins":{"dumps":{"host":"http://127.0.0.1:1"}}}"#);
        assert_eq!(asked(None, Some("prod")).unwrap(), "http://127.0.0.1:1");
        assert_eq!(
            asked(Some("tcp://x:1"), None).unwrap(),
            "http://127.0.0.1:1"
        );
        settings(r#"{"plugins":{"dumps":{"host":"nowhere"}}}"#);
        assert!(
            asked(None, None)
                .unwrap_err()
                .contains("plugins.dumps.host")
        );
    }
}
