//! Writes the zstd seekable format: independent frames, and behind them a table of their sizes
//! in a skippable frame, so that any zstd reads the file and a reader that knows the table can
//! begin anywhere (zstd's `contrib/seekable_format/zstd_seekable_compression_format.md`).
//!
//! The file is made valid also when the disk fills up midway: the last frames give way to the table.

use crate::bounded::read_at;
use rustix::io::ReadWriteFlags;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use zstd::bulk::Compressor;
use zstd::zstd_safe::{
    CParameter, compress_bound, find_frame_compressed_size, get_frame_content_size,
};

/// Uncompressed bytes of every frame but the last.
pub const FRAME: usize = 2 << 20;
/// Bytes of a file after which the rest does not stay in the page cache: a large core would push
/// out what the host works with, and hardly any of it is read again.
const CACHED: u64 = 64 << 20;
/// `RWF_DONTCACHE` (include/uapi/linux/fs.h, Linux 6.14): written through the page cache, and out of
/// it as soon as the disk has it.
const DONT_CACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

/// Compression level: what keeps up with the kernel's pipe.
const LEVEL: i32 = 1;
/// The level for cores over [`LARGE`], whose process is held for seconds: a tenth faster in all,
/// for files that are up to a ninth larger.
const FAST_LEVEL: i32 = -1;
/// Uncompressed bytes over which a core is large.
const LARGE: u64 = 1 << 30;
pub(super) const SKIPPABLE_MAGIC: u32 = 0x184D_2A5E;
pub(super) const SEEKABLE_MAGIC: u32 = 0x8F92_EAB1;

/// Compresses single frames. One per thread.
pub struct FrameCompressor(Compressor<'static>);

impl FrameCompressor {
    /// Allocates the compressor's tables (about 1 MiB) for a core of `size` bytes.
    pub fn new(size: Option<u64>) -> io::Result<Self> {
        let large = size.is_some_and(|size| size > LARGE);
        let mut compressor = Compressor::new(if large { FAST_LEVEL } else { LEVEL })?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self(compressor))
    }

    /// Compresses `raw` into `packed`, replacing what was there.
    pub fn compress(&mut self, raw: &[u8], packed: &mut Vec<u8>) -> io::Result<()> {
        packed.clear();
        packed.reserve(compress_bound(raw.len()));
        self.0.compress_to_buffer(raw, packed).map(|_| ())
    }
}

/// Appends frames to a file, and the table at the end.
pub struct SeekableWriter<'f> {
    file: &'f mut File,
    frames: Vec<(u32, u32)>,
    packed: u64,
    raw: u64,
    budget: u64,
    /// Whether the kernel and the file system know [`DONT_CACHE`], as far as was tried.
    may_not_cache: bool,
}

/// What a finished file holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// Uncompressed bytes in the file.
    pub raw: u64,
    /// Size of the file.
    pub file: u64,
}

impl<'f> SeekableWriter<'f> {
    /// Writes to the empty `file`, at most about `budget` bytes.
    pub fn new(file: &'f mut File, budget: u64) -> Self {
        Self {
            file,
            frames: Vec::new(),
            packed: 0,
            raw: 0,
            budget,
            may_not_cache: true,
        }
    }

    /// Appends a frame. After an error no more frames may be written, but [`Self::finish`] works.
    pub fn write_frame(&mut self, raw_size: usize, packed: &[u8]) -> io::Result<()> {
        let sizes = (u32::try_from(packed.len()), u32::try_from(raw_size));
        let (Ok(packed_size), Ok(raw_size)) = sizes else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        if self.packed.saturating_add(u64::from(packed_size)) > self.budget {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the space set aside for it is used up",
            ));
        }
        self.append(packed)?;
        self.frames.push((packed_size, raw_size));
        self.packed = self.packed.saturating_add(packed_size.into());
        self.raw = self.raw.saturating_add(raw_size.into());
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = if self.packed >= CACHED && self.may_not_cache {
            let slices = [io::IoSlice::new(bytes)];
            let written = rustix::io::pwritev2(&*self.file, &slices, self.packed, DONT_CACHE);
            self.may_not_cache = written.is_ok();
            // Without it, or where that went wrong, it is written as usual; that tells why.
            written.unwrap_or(0)
        } else {
            0
        };
        let rest = bytes.get(written..).unwrap_or_default();
        let at = self
            .packed
            .saturating_add(u64::try_from(written).unwrap_or(0));
        self.file.write_all_at(rest, at)
    }

    /// Writes the table behind the last whole frame, giving up frames until it fits the disk.
    pub fn finish(mut self) -> io::Result<Stored> {
        loop {
            self.file.set_len(self.packed)?;
            self.file.seek(SeekFrom::Start(self.packed))?;
            let table = seek_table(&self.frames);
            match self.file.write_all(&table) {
                Ok(()) => {
                    let table_size = u64::try_from(table.len()).unwrap_or(u64::MAX);
                    return Ok(Stored {
                        raw: self.raw,
                        file: self.packed.saturating_add(table_size),
                    });
                }
                Err(error) => {
                    let Some((packed, raw)) = self.frames.pop() else {
                        return Err(error);
                    };
                    self.packed = self.packed.saturating_sub(packed.into());
                    self.raw = self.raw.saturating_sub(raw.into());
                }
            }
        }
    }
}

/// Makes the file of a killed writer valid: keeps its whole frames and gives them a table.
pub fn salvage(file: &mut File) -> io::Result<Stored> {
    let mut writer = SeekableWriter::new(file, u64::MAX);
    loop {
        let bytes = read_at(writer.file, writer.packed, compress_bound(FRAME))?;
        let Some((packed, raw)) = frame_sizes(&bytes) else {
            break;
        };
        writer.frames.push((packed, raw));
        writer.packed = writer.packed.saturating_add(packed.into());
        writer.raw = writer.raw.saturating_add(raw.into());
    }
    writer.finish()
}

/// Compressed and uncompressed size of the frame that `bytes` begin with, if it is one of ours.
fn frame_sizes(bytes: &[u8]) -> Option<(u32, u32)> {
    let packed = find_frame_compressed_size(bytes).ok()?;
    let raw = get_frame_content_size(bytes).ok()??;
    let ours = raw > 0 && raw <= u64::try_from(FRAME).ok()?;
    ours.then_some((u32::try_from(packed).ok()?, u32::try_from(raw).ok()?))
}

fn seek_table(frames: &[(u32, u32)]) -> Vec<u8> {
    let entries = frames.len().saturating_mul(8);
    let mut table = Vec::with_capacity(entries.saturating_add(17));
    table.extend(SKIPPABLE_MAGIC.to_le_bytes());
    table.extend(
        u32::try_from(entries.saturating_add(9))
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    for (packed, raw) in frames {
        table.extend(packed.to_le_bytes());
        table.extend(raw.to_le_bytes());
    }
    table.extend(
        u32::try_from(frames.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    // The descriptor: no checksums in the table, each frame has its own.
    table.push(0);
    table.extend(SEEKABLE_MAGIC.to_le_bytes());
    table
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_cut_anywhere_is_salvaged() {
        let mut file = tempfile::tempfile().unwrap();
        let mut compressor = FrameCompressor::new(None).unwrap();
        let mut ends = vec![0];
        for fill in 1..=3u8 {
            let mut packed = Vec::new();
            compressor.compress(&[fill; 1000], &mut packed).unwrap();
            file.write_all(&packed).unwrap();
            ends.push(file.stream_position().unwrap());
        }
        let length = ends[3];
        let whole = read_at(&file, 0, usize::try_from(length).unwrap()).unwrap();
        for cut in 0..=length {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&whole[..usize::try_from(cut).unwrap()])
                .unwrap();
            let stored = salvage(&mut file).unwrap();
            let frames = ends.iter().filter(|end| **end <= cut).count() as u64 - 1;
            assert_eq!(stored.raw, frames * 1000, "cut at {cut}");
            assert_eq!(stored.file, file.metadata().unwrap().len());
            file.seek(SeekFrom::Start(0)).unwrap();
            assert_eq!(zstd::decode_all(file).unwrap().len() as u64, stored.raw);
        }
    }

    #[test]
    fn what_is_no_frame_is_dropped() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0xff; 5000]).unwrap();
        assert_eq!(salvage(&mut file).unwrap().raw, 0);
        assert_eq!(file.metadata().unwrap().len(), 17);
    }
}
