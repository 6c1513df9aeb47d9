//! Runs containers through the real Docker CLI, without network and without a registry.

use crate::run::{Outcome, finish, run};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A container's name that no other test uses: `shop-api-1234-0`.
pub fn unique_name(name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!(
        "{name}-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Panics with advice when no engine answers.
pub fn require_engine() {
    let answer = run("docker", &["info", "--format", "{{.ServerVersion}}"]);
    assert_eq!(
        answer.code,
        Some(0),
        "no Docker engine answers; run the tests with ./tests/run: {}",
        answer.stderr
    );
}

/// A container to run; removed when dropped.
pub struct Container {
    /// Its name.
    pub name: String,
    options: Vec<String>,
}

impl Container {
    /// A container that will carry a name made from this one.
    pub fn new(name: &str) -> Self {
        Self {
            name: unique_name(name),
            options: Vec::new(),
        }
    }

    /// A container of this very name.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            options: Vec::new(),
        }
    }

    /// Adds an option of `docker run`, such as `--rm` or `--label=team=shop`.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.to_owned());
        self
    }

    /// Runs an image to its end.
    pub fn run(&self, image: &str, arguments: &[&str]) -> Outcome {
        finish(&mut self.command(&[], image, arguments))
    }

    /// Starts an image and leaves it running.
    #[track_caller]
    pub fn start(&self, image: &str, arguments: &[&str]) {
        finish(&mut self.command(&["--detach"], image, arguments)).ok();
    }

    fn command(&self, more: &[&str], image: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["run", "--network=none", "--name", &self.name]);
        command
            .args(&self.options)
            .args(more)
            .arg(image)
            .args(arguments);
        command
    }

    /// Full id of a container that still exists.
    #[track_caller]
    pub fn id(&self) -> String {
        run("docker", &["inspect", "--format", "{{.Id}}", &self.name])
            .ok()
            .trim()
            .to_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = run("docker", &["rm", "--force", &self.name]);
    }
}

/// Id of an image.
#[track_caller]
pub fn image_id(image: &str) -> String {
    run(
        "docker",
        &["image", "inspect", "--format", "{{.Id}}", image],
    )
    .ok()
    .trim()
    .to_owned()
}
