//! Stores the core the kernel writes into our standard input: compressed on all cores, in
//! memory that does not grow with it.
//!
//! ```text
//! pipe ─► reader ─► worker 0 ─► writer ─► core.zst
//!            │  └──► worker 1 ──┘  │        frames go round robin, so they come back in order
//!            └──── empty frames ◄──┘        a fixed number of them bounds the memory
//! ```

use super::elf::CoreHead;
use super::seekable::{FRAME, FrameCompressor, SeekableWriter, Stored};
use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope};

/// Most compressing threads. Six keep up with the pipe, a single-threaded double copy of about
/// 2.4 GB/s, and hold the helper under 48 MiB.
pub(crate) const MAX_WORKERS: usize = 6;

/// Asks the kernel for a larger pipe: 1 MiB, the most a user may have without raising a sysctl.
/// With the default of 64 KiB, helper and kernel take turns instead of working side by side.
pub fn enlarge_pipe(stream: impl std::os::fd::AsFd) {
    // A smaller pipe is slower, nothing else; and standard input may be a file in a test.
    let _ = rustix::pipe::fcntl_setpipe_size(stream, 1 << 20);
}

/// How the storing of a stream went.
#[derive(Debug, Default)]
pub struct CoreOutcome {
    /// Bytes that arrived.
    pub seen: u64,
    /// What the file holds.
    pub stored: Stored,
    /// Why reading or writing stopped before the stream's end.
    pub stopped: Option<String>,
}

/// Stores the whole of `stream`, whose beginning is in `head`, into the empty `file` of at most
/// `budget` bytes. Returns when the stream has ended or no more can be kept.
pub fn store(
    head: &CoreHead,
    stream: impl Read,
    file: &mut File,
    budget: u64,
    workers: usize,
) -> CoreOutcome {
    let source = Source {
        head: &head.bytes,
        size: head.size,
        stream,
        seen: 0,
    };
    let writer = SeekableWriter::new(file, budget);
    if workers == 0 {
        in_turns(source, writer)
    } else {
        side_by_side(source, writer, workers.min(MAX_WORKERS))
    }
}

/// Compressing threads this machine deserves.
pub fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

struct Source<'h, R> {
    head: &'h [u8],
    /// Size of the core as announced.
    size: Option<u64>,
    stream: R,
    seen: u64,
}

impl<R: Read> Source<'_, R> {
    /// Fills `frame` with the next [`FRAME`] bytes; fewer at the end of the stream.
    fn next(&mut self, frame: &mut Vec<u8>) -> io::Result<()> {
        frame.clear();
        let (from_head, rest) = self.head.split_at(self.head.len().min(FRAME));
        frame.extend_from_slice(from_head);
        self.head = rest;
        let missing = u64::try_from(FRAME.saturating_sub(frame.len())).unwrap_or(0);
        let read = (&mut self.stream).take(missing).read_to_end(frame);
        self.seen = self
            .seen
            .saturating_add(u64::try_from(frame.len()).unwrap_or(0));
        read.map(|_| ())
    }
}

#[derive(Default)]
struct Frame {
    raw: Vec<u8>,
    packed: Vec<u8>,
}

impl Frame {
    fn new() -> Self {
        Self {
            raw: Vec::with_capacity(FRAME),
            packed: Vec::new(),
        }
    }

    fn pack(&mut self, compressor: &mut FrameCompressor) -> io::Result<()> {
        compressor.compress(&self.raw, &mut self.packed)
    }
}

/// One thread for everything: where no thread can be had.
fn in_turns<R: Read>(mut source: Source<'_, R>, mut writer: SeekableWriter<'_>) -> CoreOutcome {
    let mut frame = Frame::new();
    let mut run = || -> Result<(), String> {
        let mut compressor = FrameCompressor::new(source.size)
            .map_err(|error| format!("compressing failed: {error}"))?;
        loop {
            let read = source.next(&mut frame.raw);
            if !frame.raw.is_empty() {
                frame
                    .pack(&mut compressor)
                    .map_err(|error| format!("compressing failed: {error}"))?;
                writer
                    .write_frame(frame.raw.len(), &frame.packed)
                    .map_err(|error| writing_failed(&error))?;
            }
            read.map_err(|error| reading_failed(&error))?;
            if frame.raw.len() < FRAME {
                return Ok(());
            }
        }
    };
    let stopped = run().err();
    outcome(source.seen, writer, stopped)
}

fn side_by_side<R: Read>(
    mut source: Source<'_, R>,
    writer: SeekableWriter<'_>,
    workers: usize,
) -> CoreOutcome {
    let (empty_in, empty_out) = sync_channel(workers.saturating_add(2));
    std::thread::scope(|scope| {
        let lanes: io::Result<Vec<_>> = (0..workers).map(|_| lane(scope, source.size)).collect();
        let Ok(lanes) = lanes else {
            return in_turns(source, writer);
        };
        let (full, packed): (Vec<_>, Vec<_>) = lanes.into_iter().unzip();
        for _ in 0..workers.saturating_add(2) {
            // The channel has room for exactly these.
            let _ = empty_in.try_send(Frame::new());
        }
        let (writer_in, writer_out) = sync_channel(1);
        let written = Builder::new().spawn_scoped(scope, move || {
            let Ok(writer) = writer_out.recv() else {
                return None;
            };
            Some(write_all(writer, &packed, &empty_in))
        });
        let Ok(written) = written else {
            return in_turns(source, writer);
        };
        let _ = writer_in.send(writer);
        let read = read_all(&mut source, &full, &empty_out);
        drop(full);
        match written.join() {
            Ok(Some((writer, written))) => outcome(source.seen, writer, written.and(read).err()),
            _ => CoreOutcome {
                seen: source.seen,
                stopped: Some("the writer failed".to_owned()),
                ..Default::default()
            },
        }
    })
}

/// What a worker sends back: the frame, compressed or not.
type Packed = (Frame, io::Result<()>);

/// Starts a worker; returns the ends of its two channels.
fn lane<'scope>(
    scope: &'scope Scope<'scope, '_>,
    size: Option<u64>,
) -> io::Result<(SyncSender<Frame>, Receiver<Packed>)> {
    let (full_in, full_out) = sync_channel::<Frame>(1);
    let (packed_in, packed_out) = sync_channel(1);
    let mut compressor = FrameCompressor::new(size)?;
    Builder::new().spawn_scoped(scope, move || {
        for mut frame in full_out {
            let result = frame.pack(&mut compressor);
            if packed_in.send((frame, result)).is_err() {
                return;
            }
        }
    })?;
    Ok((full_in, packed_out))
}

/// Reads until the stream or the writer ends.
fn read_all<R: Read>(
    source: &mut Source<'_, R>,
    lanes: &[SyncSender<Frame>],
    empty: &Receiver<Frame>,
) -> Result<(), String> {
    for lane in lanes.iter().cycle() {
        let Ok(mut frame) = empty.recv() else {
            return Ok(());
        };
        let read = source.next(&mut frame.raw);
        let last = read.is_err() || frame.raw.len() < FRAME;
        if !frame.raw.is_empty() && lane.send(frame).is_err() {
            return Ok(());
        }
        read.map_err(|error| reading_failed(&error))?;
        if last {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes frames in the order they were read. Dropping the channels ends the other threads.
fn write_all<'f>(
    mut writer: SeekableWriter<'f>,
    lanes: &[Receiver<Packed>],
    empty: &SyncSender<Frame>,
) -> (SeekableWriter<'f>, Result<(), String>) {
    for lane in lanes.iter().cycle() {
        let Ok((frame, packed)) = lane.recv() else {
            break;
        };
        let written = packed
            .map_err(|error| format!("compressing failed: {error}"))
            .and_then(|()| {
                writer
                    .write_frame(frame.raw.len(), &frame.packed)
                    .map_err(|error| writing_failed(&error))
            });
        if written.is_err() {
            return (writer, written);
        }
        // The reader may have ended already.
        let _ = empty.try_send(frame);
    }
    (writer, Ok(()))
}

fn outcome(seen: u64, writer: SeekableWriter<'_>, stopped: Option<String>) -> CoreOutcome {
    match writer.finish() {
        Ok(stored) => CoreOutcome {
            seen,
            stored,
            stopped,
        },
        Err(error) => CoreOutcome {
            seen,
            stored: Stored::default(),
            stopped: stopped.or(Some(writing_failed(&error))),
        },
    }
}

fn reading_failed(error: &io::Error) -> String {
    format!("reading the core failed: {error}")
}

fn writing_failed(error: &io::Error) -> String {
    format!("writing the core failed: {error}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{Seek, SeekFrom};

    /// Text-like bytes that no two frames share.
    fn sample(length: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 60) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    fn stored(bytes: &[u8], head: usize, budget: u64, workers: usize) -> (CoreOutcome, File) {
        let mut file = tempfile::tempfile().unwrap();
        let head = CoreHead {
            bytes: bytes[..head].to_vec(),
            ..CoreHead::default()
        };
        let outcome = store(
            &head,
            &bytes[head.bytes.len()..],
            &mut file,
            budget,
            workers,
        );
        file.seek(SeekFrom::Start(0)).unwrap();
        (outcome, file)
    }

    #[test]
    fn what_went_in_comes_out() {
        let bytes = sample(5 * FRAME + 12345);
        for workers in [0, 1, 3, 99] {
            for length in [0, 1, FRAME - 1, FRAME, FRAME + 1, bytes.len()] {
                let bytes = &bytes[..length];
                let (outcome, file) = stored(bytes, length.min(100), u64::MAX, workers);
                assert_eq!(outcome.stopped, None);
                assert_eq!(outcome.seen, length as u64);
                assert_eq!(outcome.stored.raw, length as u64);
                assert_eq!(outcome.stored.file, file.metadata().unwrap().len());
                assert!(
                    zstd::decode_all(file).unwrap() == bytes,
                    "{workers} workers, {length} bytes"
                );
            }
        }
    }

    #[test]
    fn an_independent_reader_seeks_in_it() {
        let bytes = sample(3 * FRAME + 77);
        let (_, file) = stored(&bytes, 64, u64::MAX, 2);
        let mut decoder = zeekstd::Decoder::new(file).unwrap();
        assert_eq!(decoder.seek_table().num_frames(), 4);
        decoder.set_offset(2 * FRAME as u64 - 5).unwrap();
        let mut ten = [0; 10];
        assert_eq!(decoder.decompress(&mut ten).unwrap(), 10);
        assert_eq!(ten, bytes[2 * FRAME - 5..2 * FRAME + 5]);
    }

    #[test]
    fn used_up_space_leaves_a_valid_beginning() {
        let bytes = sample(6 * FRAME);
        for workers in [0, 2] {
            let (whole, _) = stored(&bytes, 0, u64::MAX, workers);
            let (outcome, file) = stored(&bytes, 0, whole.stored.file / 2, workers);
            assert!(outcome.stopped.unwrap().contains("used up"));
            assert!(outcome.stored.raw > 0 && outcome.stored.raw < bytes.len() as u64);
            let kept = zstd::decode_all(file).unwrap();
            assert!(kept == bytes[..usize::try_from(outcome.stored.raw).unwrap()]);
        }
    }

    #[test]
    fn a_full_disk_leaves_a_valid_beginning() {
        // The process's own file size limit would signal it, /dev/full keeps nothing: the
        // end-to-end test on a small file system covers a disk that fills up midway.
        let mut full = File::options()
            .read(true)
            .write(true)
            .open("/dev/full")
            .unwrap();
        let outcome = store(
            &CoreHead::default(),
            [1u8; 10].as_slice(),
            &mut full,
            u64::MAX,
            1,
        );
        assert!(outcome.stopped.is_some());
        assert_eq!(outcome.stored, Stored::default());
    }

    #[test]
    fn an_error_of_the_stream_keeps_what_came() {
        struct Broken(usize);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if self.0 == 0 {
                    return Err(io::Error::other("pulled out"));
                }
                let count = buffer.len().min(self.0);
                buffer[..count].fill(7);
                self.0 -= count;
                Ok(count)
            }
        }
        for workers in [0, 2] {
            let mut file = tempfile::tempfile().unwrap();
            let outcome = store(
                &CoreHead::default(),
                Broken(FRAME + 10),
                &mut file,
                u64::MAX,
                workers,
            );
            assert_eq!(outcome.seen, FRAME as u64 + 10);
            assert_eq!(outcome.stored.raw, FRAME as u64 + 10);
            assert_eq!(
                outcome.stopped.as_deref(),
                Some("reading the core failed: pulled out")
            );
        }
    }
}
