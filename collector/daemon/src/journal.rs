//! Fetches what a container wrote from the host's journal, where its engine logs there. Only the
//! daemon does so, when the process is long gone: the journal is a service, and may hang.

use aground_helper::record::{Container, Record};
use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// systemd's program: its files have no other reader that promises to keep up with them.
const JOURNALCTL: &str = "/usr/bin/journalctl";
/// Most lines and bytes kept, as of other logs.
const LINES: &str = "200";
const MAX_BYTES: u64 = 64 * 1024;
/// How long it may take: crashes wait to be taken in meanwhile.
const PATIENCE: Duration = Duration::from_secs(3);

/// The last lines of the crashed container, `None` where it does not log to the journal. What went
/// wrong is a sentence.
pub(crate) fn tail(record: &Record) -> Option<Result<String, String>> {
    let id = logged_there(record.container.as_ref()?)?;
    Some(read(id, record.captured_at_ms).map_err(|error| {
        format!("the container's log could not be read from the journal: {error}")
    }))
}

/// The full id, which is also the journal's field. Podman's files do not say where its logs go.
fn logged_there(container: &Container) -> Option<&str> {
    let driver = container.log_driver.as_deref();
    let there = driver == Some("journald") || (container.runtime == "podman" && driver.is_none());
    let full = container.id.len() == 64 && container.id.bytes().all(|b| b.is_ascii_hexdigit());
    (there && full && container.user.is_none()).then_some(&container.id)
}

fn read(id: &str, died_at_ms: i64) -> io::Result<String> {
    let until = died_at_ms.saturating_div(1000).saturating_add(2);
    let mut journal = Command::new(JOURNALCTL)
        .args(["--no-pager", "--output=cat", "--lines", LINES])
        .arg(format!("--until=@{until}"))
        .arg(format!("CONTAINER_ID_FULL={id}"))
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = journal.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = vec![];
        let read = output.take(MAX_BYTES).read_to_end(&mut bytes);
        // Nobody waits any more when it took too long.
        let _ = sender.send(read.map(|_| bytes));
    });
    let answer = receiver.recv_timeout(PATIENCE);
    // It has said all, or is not to say more.
    let _ = journal.kill();
    let _ = journal.wait();
    let bytes = answer.map_err(|_| io::ErrorKind::TimedOut)??;
    Ok(aground_helper::text::escape_bytes(&bytes, bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_of_containers_that_log_there_is_asked() {
        let id = "0123456789abcdef".repeat(4);
        let asked = |runtime: &str, driver: Option<&str>, id: &str, user| {
            let container = Container {
                runtime: runtime.to_owned(),
                log_driver: driver.map(str::to_owned),
                id: id.to_owned(),
                user,
                ..Container::default()
            };
            logged_there(&container).is_some()
        };
        assert!(asked("docker", Some("journald"), &id, None));
        assert!(asked("podman", None, &id, None));
        assert!(!asked("docker", None, &id, None));
        assert!(!asked("podman", Some("k8s-file"), &id, None));
        assert!(!asked("docker", Some("journald"), "x MESSAGE=y", None));
        // A user's containers can claim any id.
        assert!(!asked("podman", None, &id, Some(1000)));
    }
}
