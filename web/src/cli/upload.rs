//! Sends files to the daemon. Large ones that cross a network go piece by piece: where the line
//! breaks they go on where they were, also when the same command is run again.

use super::human;
use super::import::{PIECE, counted};
use super::listing::fetch;
use super::progress::Progress;
use super::session::{Failure, Session};
use crate::client::ClientError;
use aground_daemon::Upload;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::io::{self, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

/// What is smaller is sent anew as soon as it is asked how far it came.
const LARGE: u64 = 16 << 20;
/// Bytes at either end of a file by which it is known again.
const END: u64 = 1 << 20;
/// How often is tried without a byte more that came, some two minutes together.
const TRIES: u32 = 14;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

/// How files are sent.
pub struct Sending<'a> {
    /// Where what comes of them is asked for, with parameters.
    pub target: &'a str,
    /// Such as `Importing`.
    pub doing: &'a str,
    /// Whether nobody is told how far it is.
    pub quiet: bool,
}

/// Sends a file and says what the daemon made of it.
pub async fn send<T: DeserializeOwned>(
    path: &Path,
    sending: &Sending<'_>,
    session: &Session,
) -> Result<T, Failure> {
    let mut file = File::open(path).await?;
    let size = file.metadata().await?.len();
    if session.client.is_local() || size < LARGE {
        let progress = Progress::new(sending.doing, !sending.quiet, Some(size));
        let stream = ReaderStream::with_capacity(file, PIECE);
        let sent = session
            .client
            .upload(sending.target, counted(stream, progress));
        return Ok(sent.await?);
    }
    let upload = known_or_new(&mut file, size, session).await?;
    let mut tries = Tries::default();
    loop {
        let went = go_on(path, size, &upload.id, sending, session).await;
        match went {
            Ok(answer) => return Ok(answer),
            Err((Failure::Client(error), offset)) if is_passing(&error) => {
                let Some(wait) = tries.next(offset) else {
                    return Err(gave_up(&error, size));
                };
                if !sending.quiet {
                    let line = format!("{error}; going on where it was");
                    super::complain(session.program, &line);
                }
                tokio::time::sleep(wait).await;
            }
            Err((other, _)) => return Err(other),
        }
    }
}

/// Waits that grow until more has come.
#[derive(Default)]
struct Tries {
    count: u32,
    reached: Option<u64>,
}

impl Tries {
    /// How long to wait now; `None` to give up.
    fn next(&mut self, offset: Option<u64>) -> Option<Duration> {
        if offset.is_some() && offset > self.reached {
            self.reached = offset;
            self.count = 0;
        }
        let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.count));
        self.count += 1;
        (self.count <= TRIES).then_some(wait.min(LONGEST_WAIT))
    }
}

fn gave_up(error: &ClientError, size: u64) -> Failure {
    let why = format!(
        "{error}: not all of {} came; the same command goes on where it was, for a day",
        human::size(size)
    );
    Failure::Message(why)
}

/// Whether the same may go better soon.
fn is_passing(error: &ClientError) -> bool {
    match error {
        ClientError::Broken { .. }
        | ClientError::Unreachable { .. }
        | ClientError::Tls { .. }
        | ClientError::Tunnel(_) => true,
        ClientError::Refused(problem) => {
            matches!(problem.code.as_str(), "cut" | "offset" | "stopping")
        }
        ClientError::Forbidden(_) | ClientError::InTheClear(_) => false,
    }
}

/// The upload of the same file that is not finished, or a new one.
async fn known_or_new(file: &mut File, size: u64, session: &Session) -> Result<Upload, Failure> {
    let fingerprint = STANDARD.encode(fingerprint(file, size).await?);
    let metadata = format!("fingerprint {fingerprint}");
    let unfinished: Vec<Upload> = fetch(session, "/api/v1/uploads", "", None).await?;
    let is_this = |upload: &Upload| upload.length == size && upload.metadata == metadata;
    match unfinished.into_iter().find(is_this) {
        Some(known) => Ok(known),
        None => Ok(session.client.begin_upload(size, &metadata).await?),
    }
}

/// Sends what is missing and asks for what comes of it; with an error how far it was before.
async fn go_on<T: DeserializeOwned>(
    path: &Path,
    size: u64,
    id: &str,
    sending: &Sending<'_>,
    session: &Session,
) -> Result<T, (Failure, Option<u64>)> {
    let before = |error: ClientError| (error.into(), None);
    let place = format!("/api/v1/uploads/{id}");
    let upload: Upload = session.client.get(&place).await.map_err(before)?;
    let offset = upload.offset;
    let after = |error: Failure| (error, Some(offset));
    if offset < size {
        let mut file = File::open(path)
            .await
            .map_err(|error| after(error.into()))?;
        let found = file.seek(SeekFrom::Start(offset)).await;
        found.map_err(|error| after(error.into()))?;
        let mut progress = Progress::new(sending.doing, !sending.quiet, Some(size));
        progress.add(usize::try_from(offset).unwrap_or(usize::MAX));
        // A file that grows meanwhile is sent as it was said to be.
        let stream = ReaderStream::with_capacity(file.take(size - offset), PIECE);
        let sent = session
            .client
            .continue_upload(id, offset, counted(stream, progress));
        sent.await.map_err(|error| after(error.into()))?;
    }
    let target = format!("{}&upload={id}", sending.target);
    let made = session.client.post_slowly(&target).await;
    made.map_err(|error| (error.into(), Some(size)))
}

/// What tells a file from others without reading all of it.
async fn fingerprint(file: &mut File, size: u64) -> io::Result<Vec<u8>> {
    let modified = file.metadata().await?;
    let mut digest = Sha256::new();
    digest.update(size.to_le_bytes());
    digest.update(modified.mtime().to_le_bytes());
    digest.update(modified.mtime_nsec().to_le_bytes());
    for place in [0, size.saturating_sub(END)] {
        file.seek(SeekFrom::Start(place)).await?;
        let mut piece = vec![];
        (&mut *file).take(END).read_to_end(&mut piece).await?;
        digest.update(&piece);
    }
    Ok(digest.finalize().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_as_long_as_more_comes() {
        let mut tries = Tries::default();
        for offset in 0..100 {
            assert_eq!(tries.next(Some(offset)), Some(FIRST_WAIT));
        }
        let mut waited = Duration::ZERO;
        while let Some(wait) = tries.next(None) {
            waited += wait;
        }
        assert!(waited > Duration::from_mins(1) && waited < Duration::from_mins(4));
    }

    #[tokio::test]
    async fn a_file_is_known_by_its_ends() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("core");
        let of = async |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("write");
            let mut file = File::open(&path).await.expect("open");
            fingerprint(&mut file, bytes.len() as u64)
                .await
                .expect("read")
        };
        let mut bytes = vec![1; 3 << 20];
        let first = of(&bytes).await;
        bytes[(3 << 20) - 1] = 2;
        assert_ne!(of(&bytes).await, first);
    }
}
