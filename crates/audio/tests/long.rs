//! Memory does not grow with the length of a recording, nor with the sizes that its header declares.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use audio::{Block, Decoder, Error, MediaSource};
use common::*;

/// A header followed by an endlessly repeated pattern.
struct Endless {
    header: Vec<u8>,
    pattern: Vec<u8>,
    len: u64,
    pos: u64,
}

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let header = self.header.len() as u64;
        let rest = if self.pos < header {
            &self.header[self.pos as usize..]
        } else {
            &self.pattern[((self.pos - header) % self.pattern.len() as u64) as usize..]
        };
        let left = self.len.saturating_sub(self.pos).min(usize::MAX as u64) as usize;
        let n = rest.len().min(buf.len()).min(left);
        buf[..n].copy_from_slice(&rest[..n]);
        self.pos += n as u64;
        Ok(n)
    }
}

impl Seek for Endless {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.pos = match to {
            SeekFrom::Start(pos) => pos,
            SeekFrom::Current(by) => self.pos.saturating_add_signed(by),
            SeekFrom::End(by) => self.len.saturating_add_signed(by),
        };
        Ok(self.pos)
    }
}

impl MediaSource for Endless {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}

/// Decodes all of `source`; returns its duration in seconds and the largest absolute sample.
fn run(source: Endless) -> Result<(f64, f32), Error> {
    let mut decoder = Decoder::open(Box::new(source), &mix())?;
    let (mut block, mut peak) = (Block::default(), 0_f32);
    while decoder.next_block(&mut block)? {
        assert!(block.channels[0].len() < 5 * 16_000, "a block is about a second long");
        peak = block.channels[0].iter().fold(peak, |peak, x| peak.max(x.abs()));
    }
    Ok((decoder.report().duration, peak))
}

/// A single test, because all threads of the process share the memory that is measured.
#[test]
fn decoding_takes_bounded_memory() {
    let before = peak_megabytes();

    // Ten hours of silence.
    let data = 10 * 3600 * 16_000 * 2;
    let header = wav_header(1, 1, 16_000, 16, data + 36, data);
    let len = header.len() as u64 + u64::from(data);
    let silence = Endless { header, pattern: vec![0; 1 << 20], len, pos: 0 };
    assert_eq!(run(silence).unwrap(), (36_000.0, 0.0));

    // Ten minutes of MP3 without any index.
    let mut mp3 = fixture("mp3-vbr-no-xing.mp3");
    if mp3.ends_with(b"\xff") {
        mp3.pop();
    }
    let len = mp3.len() as u64 * 600;
    let (seconds, peak) = run(Endless { header: Vec::new(), pattern: mp3, len, pos: 0 }).unwrap();
    assert!(seconds > 590.0 && peak > 0.4, "{seconds} s, {peak}");

    // Headers that declare terabytes, in files of a few bytes.
    let mut rf64 = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    rf64.extend_from_slice(&[0xff; 7]);
    rf64.push(0x0f);
    rf64.extend_from_slice(&(1_u64 << 50).to_le_bytes());
    rf64.extend_from_slice(&[0; 12]);
    rf64.extend_from_slice(&wav_header(1, 2, 48_000, 32, 0, u32::MAX)[12..]);
    rf64.extend_from_slice(&[0; 4000]);
    let mut flac = fixture("flac.flac");
    flac[21] |= 0x0f; // The upper bits of the 36 that count the samples.
    let mut mp4 = fixture("aac-faststart.m4a");
    let at = mp4.windows(4).position(|window| window == b"stsz").unwrap();
    mp4[at + 12..at + 16].fill(0xff); // The number of samples.
    let mut chunk = b"RIFF\xff\xff\xff\xffWAVELIST\xf0\xff\xff\xff".to_vec();
    chunk.extend_from_slice(b"INFOIART\xe0\xff\xff\xff");
    for (name, bytes) in [("rf64", rf64), ("flac", flac), ("mp4", mp4), ("chunk", chunk)] {
        let result = Decoder::open(Box::new(Cursor::new(bytes.clone())), &mix()).map(drop);
        let result = result.and_then(|()| decode(bytes, &mix()).map(drop));
        assert!(result.is_err(), "{name}");
    }

    let grown = peak_megabytes() - before;
    assert!(grown < 20, "{grown} MB more than before");
}
