//! Makes one attempt to tell one target.

use super::compose::slack;
use super::sign;
use crate::config::notify::{Target, TargetKind};
use crate::outgoing::{Address, connect};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode, header};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The most of a command's complaints that is shown, bytes.
const COMPLAINT: u64 = 300;

/// Why it did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    /// One line.
    pub(super) why: String,
    /// Whether another attempt makes sense.
    pub(super) again: bool,
}

fn failed(why: impl std::fmt::Display) -> Failed {
    Failed {
        why: why.to_string(),
        again: true,
    }
}

/// Tells a target of an event. Returns what it said.
pub(super) async fn send(target: &Target, event: &str) -> Result<String, Failed> {
    let attempt = async {
        let parsed: Value = serde_json::from_str(event).map_err(failed)?;
        match (target.kind, &target.url) {
            (TargetKind::Command, _) => run(target, event).await,
            (TargetKind::Slack, Some(url)) => {
                let body = slack(&parsed).to_string();
                post(url, "application/json", &[], body).await
            }
            (TargetKind::Webhook, Some(url)) => {
                let headers = signature(target, &parsed, event).await?;
                let kind = "application/cloudevents+json; charset=utf-8";
                post(url, kind, &headers, event.to_owned()).await
            }
            (_, None) => Err(failed("it has no url")),
        }
    };
    match timeout(target.timeout.0, attempt).await {
        Ok(result) => result,
        Err(_) => Err(failed(format!(
            "no answer within {} seconds",
            target.timeout.0.as_secs_f32()
        ))),
    }
}

async fn signature(
    target: &Target,
    event: &Value,
    body: &str,
) -> Result<Vec<(&'static str, String)>, Failed> {
    let secret = match (&target.secret, &target.secret_file) {
        (Some(secret), _) => secret.0.clone(),
        (None, Some(file)) => read(file).await?,
        (None, None) => return Err(failed("it has no secret")),
    };
    let key = sign::key(&secret).map_err(failed)?;
    let id = event["id"].as_str().unwrap_or_default().to_owned();
    let timestamp = jiff::Timestamp::now().as_second();
    let signature = sign::sign(&key, &id, timestamp, body.as_bytes())
        .ok_or_else(|| failed("the secret cannot be used"))?;
    Ok(vec![
        ("webhook-id", id),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signature),
    ])
}

async fn read(file: &Path) -> Result<String, Failed> {
    tokio::fs::read_to_string(file)
        .await
        .map_err(|error| failed(format!("cannot read {}: {error}", file.display())))
}

async fn post(
    url: &Address,
    kind: &str,
    headers: &[(&str, String)],
    body: String,
) -> Result<String, Failed> {
    let wire = connect(url).await.map_err(failed)?;
    let (mut sender, connection) = http1::handshake(wire).await.map_err(failed)?;
    // Ends with this.
    let mut task = JoinSet::new();
    task.spawn(connection);
    let mut request = Request::post(&url.path)
        .header(header::HOST, url.authority())
        .header(header::CONTENT_TYPE, kind)
        .header(
            header::USER_AGENT,
            concat!("aground/", env!("CARGO_PKG_VERSION")),
        );
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::new(Bytes::from(body))).map_err(failed)?;
    let answer = sender.send_request(request).await.map_err(failed)?;
    match answer.status() {
        status if status.is_success() => Ok(format!("it answered {status}")),
        // Who says this never wants to hear of it again.
        StatusCode::GONE => Err(Failed {
            why: "it answered 410 Gone".to_owned(),
            again: false,
        }),
        status => Err(failed(format!("it answered {status}"))),
    }
}

/// Runs the program with nothing but the event on its standard input: no environment, no shell.
async fn run(target: &Target, event: &str) -> Result<String, Failed> {
    let (program, arguments) = target
        .command
        .split_first()
        .ok_or_else(|| failed("it has no command"))?;
    let mut child = Command::new(program)
        .args(arguments)
        .env_clear()
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot start {program}: {error}")))?;
    let group = Group(child.id());
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program need not read it.
            let _ = stdin.write_all(event.as_bytes()).await;
        }
    };
    let mut complaint = vec![];
    let listen = async {
        if let Some(stderr) = stderr {
            let mut bounded = stderr.take(COMPLAINT);
            let _ = bounded.read_to_end(&mut complaint).await;
            // What more it says goes nowhere, but does not stop it.
            let _ = tokio::io::copy(&mut bounded.into_inner(), &mut tokio::io::sink()).await;
        }
    };
    let (status, (), ()) = tokio::join!(child.wait(), write, listen);
    let status = status.map_err(failed)?;
    drop(group);
    if status.success() {
        return Ok("it ended well".to_owned());
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let complaint = complaint.lines().next().unwrap_or_default();
    Err(failed(
        format!("{status}: {complaint}").trim_end_matches(": "),
    ))
}

/// The processes of a command, which end with the attempt.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.0.and_then(|pid| i32::try_from(pid).ok());
        if let Some(group) = pid.and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}
