//! Streams a core: decompressed on the fly, or as stored.

use super::parameters::{Parameters, Path};
use super::range::{self, Asked};
use super::{attachment, blocking, resolve_dump};
use crate::App;
use crate::problem::Problem;
use aground_helper::id::DumpId;
use aground_helper::record::CaptureState;
use aground_store::types::Dump;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::ReaderStream;

/// Bytes per piece of the answer: large enough to keep the decompressor busy.
const CHUNK: usize = 256 * 1024;

/// `GET /api/v1/dumps/{ref}/core`: the ELF core; with `?format=zst` the stored file (seekable
/// zstd, which any zstd reads). Takes ranges of bytes where the size is known and, of the ELF core,
/// where its frames can be found.
pub async fn download(
    State(app): State<App>,
    Path(reference): Path<String>,
    headers: HeaderMap,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.only(&["format"])?;
    let id = resolve_dump(&app, reference).await?;
    let wanted = id.clone();
    let dump = blocking(&app, move |store| store.dump(&wanted)).await?;
    let wanted = id.clone();
    let file = blocking(&app, move |store| store.core(&wanted)).await?;
    let file = file.ok_or_else(|| no_core(&dump))?;

    match parameters.get("format") {
        None | Some("elf") => {
            let name = format!("core.{}", id.short());
            let Some(size) = known_size(&dump) else {
                let body = Body::from_stream(decompressed(id, file, true));
                return Ok(named(body.into_response(), &name));
            };
            let tag = format!("\"{id}-{}-{size}\"", dump.summary.kept);
            let found = move || -> io::Result<(File, bool)> {
                let (mut file, seekable) = (file.try_clone()?, is_seekable(&file));
                file.rewind()?;
                Ok((file, seekable))
            };
            let (file, seekable) = tokio::task::spawn_blocking(found).await??;
            let asked = match Asked::by(&headers, size, &tag) {
                Asked::Part(_) if !seekable => Asked::Whole,
                asked => asked,
            };
            let answer = range::answer(asked, size, &tag, |part| {
                Ok(Body::from_stream(if part == (0..size) {
                    decompressed(id, file, false)
                } else {
                    decompressed_part(id, file, part)
                }))
            })?;
            Ok(named(answer, &name))
        }
        Some("zst") => {
            let size = file.metadata()?.len();
            let tag = format!("\"{id}-{}-{size}-zst\"", dump.summary.kept);
            let asked = Asked::by(&headers, size, &tag);
            let answer = range::answer(asked, size, &tag, |part| part_of(file, part))?;
            Ok(named(answer, &format!("core.{}.zst", id.short())))
        }
        Some(other) => Err(Problem::bad_parameter(format!(
            "format=\"{other}\": there are elf, zst"
        ))),
    }
}

/// Some bytes of a file as a body.
pub(super) fn part_of(mut file: File, part: Range<u64>) -> io::Result<Body> {
    file.seek(SeekFrom::Start(part.start))?;
    let length = part.end.saturating_sub(part.start);
    let some = tokio::fs::File::from_std(file).take(length);
    Ok(Body::from_stream(ReaderStream::new(some)))
}

/// Whether the file ends in a table of its frames. Moves the place of reading.
fn is_seekable(file: &File) -> bool {
    file.try_clone()
        .is_ok_and(|file| zeekstd::Decoder::new(file).is_ok())
}

fn no_core(dump: &Dump) -> Problem {
    if let Some(given_up) = dump.summary.given_up() {
        return Problem::not_found(format!("there is no core of this crash: {given_up}"));
    }
    let capture = &dump.record.capture;
    let reason = capture
        .reason
        .as_deref()
        .unwrap_or("the record does not say why");
    Problem::not_found(format!("no memory was kept of this crash: {reason}"))
}

/// The size of the core before compression; unknown when the helper was killed while it wrote.
fn known_size(dump: &Dump) -> Option<u64> {
    let (summary, capture) = (&dump.summary, &dump.record.capture);
    let measured = capture.state == CaptureState::Complete || summary.dropped.is_some();
    (measured && summary.core_bytes > 0).then_some(summary.core_bytes)
}

/// A download of this name, unless it is a problem.
fn named(mut response: Response, name: &str) -> Response {
    if response.status().is_success() {
        let kind = HeaderValue::from_static("application/octet-stream");
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CONTENT_DISPOSITION, attachment(name));
    }
    response
}

/// The file's frames, decompressed one piece ahead of the client.
///
/// A core whose writer was killed (`cut`) may stop inside a frame: what could be decompressed is
/// the core then. Anywhere else that is an error, and breaks the answer off.
fn decompressed(id: DumpId, file: File, cut: bool) -> ReceiverStream<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send_decompressed(file, cut, &sender) {
            tracing::error!(dump = %id, %error, "cannot decompress a core");
            let _ = sender.blocking_send(Err(error));
        }
    });
    ReceiverStream::new(receiver)
}

/// Some bytes of the core, from the frames that hold them.
fn decompressed_part(
    id: DumpId,
    file: File,
    part: Range<u64>,
) -> ReceiverStream<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let decode = || {
            let mut decoder = zeekstd::Decoder::new(file).map_err(io::Error::other)?;
            decoder.set_offset(part.start).map_err(io::Error::other)?;
            let length = part.end.saturating_sub(part.start);
            send(&mut decoder.take(length), false, &sender)
        };
        if let Err(error) = decode() {
            tracing::error!(dump = %id, %error, "cannot decompress a part of a core");
            let _ = sender.blocking_send(Err(error));
        }
    });
    ReceiverStream::new(receiver)
}

fn send_decompressed(
    file: File,
    cut: bool,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::new(BufReader::with_capacity(CHUNK, file))?;
    send(&mut decoder, cut, sender)
}

fn send(
    decoder: &mut impl Read,
    cut: bool,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    loop {
        let mut piece = BytesMut::zeroed(CHUNK);
        let length = match decoder.read(&mut piece) {
            Ok(length) => length,
            Err(error) if cut && error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => return Err(error),
        };
        piece.truncate(length);
        // A closed channel means that the client went away: nobody to tell.
        if length == 0 || sender.blocking_send(Ok(piece.freeze())).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::StreamExt;
    use std::io::{Seek, Write};

    /// Two frames and a skippable one, as the seekable format has them, cut to `length` bytes.
    async fn read_cut(cut: bool, missing: usize) -> Result<Vec<u8>, io::ErrorKind> {
        let mut stored = zstd::encode_all(&vec![b'a'; 300_000][..], 1).unwrap();
        stored.extend(zstd::encode_all(&vec![b'b'; 10][..], 1).unwrap());
        stored.extend([0x5e, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]);
        stored.truncate(stored.len() - missing);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&stored).unwrap();
        file.rewind().unwrap();
        let mut core = Vec::new();
        let mut pieces = decompressed(DumpId::from_bytes([1; 16]), file, cut);
        while let Some(piece) = pieces.next().await {
            core.extend(piece.map_err(|e| e.kind())?);
        }
        Ok(core)
    }

    #[tokio::test]
    async fn frames_are_joined_and_a_cut_core_gives_what_it_has() {
        assert_eq!(read_cut(false, 0).await.unwrap().len(), 300_010);
        // The last frame holds its ten bytes raw; six of them are still there.
        assert_eq!(read_cut(true, 16).await.unwrap().len(), 300_006);
        assert_eq!(read_cut(false, 16).await, Err(io::ErrorKind::UnexpectedEof));
    }
}
