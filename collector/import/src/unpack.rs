//! Undoes the compression people give their cores, recognized by its first bytes: gzip, xz, zstd,
//! lz4 frames; also several one after the other, as `cat a.gz b.gz` makes them.

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use lz4_flex::frame::FrameDecoder;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

/// Bytes read at once.
const BUFFER: usize = 1 << 20;
/// Enough for every recognized beginning.
const MAGIC: usize = 6;
/// The most memory an xz stream may ask for: `xz -9` needs 65 MiB to decompress.
const XZ_MEMORY: u64 = 128 << 20;
/// The largest window of a zstd stream: `--ultra -22` needs 128 MiB.
const ZSTD_WINDOW: u32 = 27;

/// What was read ahead, and the rest.
type Input<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// The bytes of `stream` without their compression.
pub fn unpack<R: Read + 'static>(mut stream: R) -> io::Result<Box<dyn Read>> {
    let mut start = Vec::with_capacity(MAGIC);
    (&mut stream).take(MAGIC as u64).read_to_end(&mut start)?;
    let kind = Kind::of(&start);
    let input = BufReader::with_capacity(BUFFER, Cursor::new(start).chain(stream));
    Ok(match kind {
        Kind::Plain => Box::new(input),
        Kind::Gzip => Box::new(MultiGzDecoder::new(input)),
        Kind::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
            Box::new(XzDecoder::new_stream(input, stream))
        }
        Kind::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(decoder)
        }
        Kind::Lz4 => Box::new(Frames::Next(input)),
    })
}

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Gzip,
    Xz,
    Zstd,
    Lz4,
}

impl Kind {
    fn of(start: &[u8]) -> Self {
        let magic = |magic: &[u8]| start.starts_with(magic);
        // A file may begin with a skippable frame, of zstd or lz4; both use the same numbers.
        let skippable = matches!(start, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
        if magic(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if magic(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
            Self::Xz
        } else if magic(&[0x28, 0xb5, 0x2f, 0xfd]) || skippable {
            Self::Zstd
        } else if magic(&[0x04, 0x22, 0x4d, 0x18]) {
            Self::Lz4
        } else {
            Self::Plain
        }
    }
}

/// Frames of lz4 one after the other: the decoder stops behind each.
enum Frames<R: Read> {
    Next(Input<R>),
    Within(Box<FrameDecoder<Input<R>>>),
    Ended,
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(self, Self::Ended) {
                Self::Ended => return Ok(0),
                Self::Next(mut input) => {
                    if input.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    *self = Self::Within(Box::new(FrameDecoder::new(input)));
                }
                Self::Within(mut frame) => {
                    let count = frame.read(buffer)?;
                    if count > 0 || buffer.is_empty() {
                        *self = Self::Within(frame);
                        return Ok(count);
                    }
                    *self = Self::Next(frame.into_inner());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    fn sample() -> Vec<u8> {
        (0..3_000_000_u32).map(|n| (n / 7 % 251) as u8).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        let mut writer = lz4_flex::frame::FrameEncoder::new(vec![]);
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut writer = liblzma::write::XzEncoder::new(vec![], 1);
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    fn unpacked(packed: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut bytes = vec![];
        unpack(Cursor::new(packed))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn every_compression_is_undone_also_twice_in_a_row() {
        let bytes = sample();
        for pack in [gzip, lz4, xz, zstd] {
            assert_eq!(unpacked(pack(&bytes)).unwrap(), bytes);
            let twice = [pack(&bytes[..1_000_000]), pack(&bytes[1_000_000..])].concat();
            assert_eq!(unpacked(twice).unwrap(), bytes);
        }
        assert_eq!(unpacked(bytes.clone()).unwrap(), bytes);
        assert_eq!(unpacked(vec![]).unwrap(), b"");
        assert_eq!(unpacked(vec![0x1f]).unwrap(), b"\x1f");
    }

    #[test]
    fn what_was_cut_or_changed_is_an_error() {
        let bytes = sample();
        for pack in [gzip, lz4, xz, zstd] {
            let packed = pack(&bytes);
            let cut = packed[..packed.len() / 2].to_vec();
            assert!(unpacked(cut).is_err());
        }
        let mut changed = xz(&bytes);
        let middle = changed.len() / 2;
        changed[middle] ^= 0x55;
        assert!(unpacked(changed).is_err());
    }
}
