//! Speaks just enough HTTP/1.0 to ask the daemon under test.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header lines as they came.
    pub head: String,
    /// Body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Sends `GET path` to a port of this machine.
#[track_caller]
pub fn get(port: u16, path: &str) -> Answer {
    request(
        port,
        &format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n"),
    )
}

/// The same of a server that may not be there yet.
pub fn try_get(port: u16, path: &str) -> std::io::Result<Answer> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    try_request(port, &request)
}

/// Sends `POST path` without a body.
#[track_caller]
pub fn post(port: u16, path: &str) -> Answer {
    let head = format!("POST {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0");
    request(port, &format!("{head}\r\n\r\n"))
}

/// Sends a file as a browser's form does, from a page of the site itself.
#[track_caller]
pub fn post_file(port: u16, path: &str, field: &str, name: &str, content: &[u8]) -> Answer {
    const BOUNDARY: &str = "----boundary-of-a-form";
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let end = format!("\r\n--{BOUNDARY}--\r\n");
    let length = head.len() + content.len() + end.len();
    let request = format!(
        "POST {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\r\n{head}"
    );
    let bytes = [request.as_bytes(), content, end.as_bytes()].concat();
    send(port, &bytes).unwrap_or_else(|error| panic!("{error}: {request}"))
}

/// Sends a request as it stands.
#[track_caller]
pub fn request(port: u16, request: &str) -> Answer {
    try_request(port, request).unwrap_or_else(|error| panic!("{error}: {request}"))
}

/// The same of a server that may not be there any more.
pub fn try_request(port: u16, request: &str) -> std::io::Result<Answer> {
    send(port, request.as_bytes())
}

fn send(port: u16, request: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_mins(2)))?;
    stream.write_all(request)?;
    let bytes = whole(&mut stream)?;
    let split = end_of_head(&bytes).unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
    let body = bytes.get(split + 4..).unwrap_or_default().to_vec();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or(0);
    Ok(Answer { status, head, body })
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}

/// Reads as much as the head says, else all there is: not every server hangs up when asked to.
fn whole(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        let count = stream.read(&mut piece)?;
        bytes.extend_from_slice(&piece[..count]);
        let length = end_of_head(&bytes).and_then(|split| {
            let head = String::from_utf8_lossy(&bytes[..split]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))?;
            length
                .trim()
                .parse::<usize>()
                .ok()
                .map(|length| split + 4 + length)
        });
        if count == 0 || length.is_some_and(|length| bytes.len() >= length) {
            return Ok(bytes);
        }
    }
}
