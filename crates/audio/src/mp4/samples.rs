//! The sample tables of a track (`stbl`, ISO 14496-12, 8.6 and 8.7): where each packet lies and when
//! it is heard.

use std::io::{self, Read, Seek};

use super::atoms::{Atom, read_body, u32_at, unsigned};

/// A packet. Times are in units of the track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) pos: u64,
    pub(super) size: u32,
    pub(super) time: i64,
    pub(super) duration: u32,
}

impl Sample {
    pub(super) fn end(&self) -> i64 {
        self.time.saturating_add(i64::from(self.duration))
    }
}

/// Atoms of the tables of a track.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct TableAtoms {
    pub(super) stts: Option<Atom>,
    pub(super) ctts: Option<Atom>,
    pub(super) stsc: Option<Atom>,
    pub(super) stsz: Option<Atom>,
    pub(super) stco: Option<Atom>,
    pub(super) co64: Option<Atom>,
}

/// The tables, as they are in the file.
#[derive(Debug, Default)]
pub(super) struct Tables {
    stts: Vec<u8>,
    ctts: Vec<u8>,
    stsc: Vec<u8>,
    stsz: Vec<u8>,
    offsets: Vec<u8>,
    offset_width: usize,
}

impl Tables {
    /// Reads the tables. They are as long as the file has bytes for them.
    pub(super) fn read(source: &mut (impl Read + Seek), atoms: &TableAtoms) -> io::Result<Self> {
        let mut read = |atom: &Option<Atom>| match atom {
            Some(atom) => read_body(source, atom, u64::MAX),
            None => Ok(Vec::new()),
        };
        let offset_width = if atoms.stco.is_some() { 4 } else { 8 };
        Ok(Tables {
            stts: read(&atoms.stts)?,
            ctts: read(&atoms.ctts)?,
            stsc: read(&atoms.stsc)?,
            stsz: read(&atoms.stsz)?,
            offsets: read(if offset_width == 4 { &atoms.stco } else { &atoms.co64 })?,
            offset_width,
        })
    }

    /// Returns the sum of all durations.
    pub(super) fn duration(&self) -> u64 {
        (0..).map_while(|n| pair(&self.stts, n, 8)).fold(0, |sum, (count, delta)| {
            sum.saturating_add(u64::from(count).saturating_mul(u64::from(delta)))
        })
    }

    /// Returns whether each sample is one frame of PCM, of which a packet has thousands.
    pub(super) fn is_pcm(&self) -> bool {
        /// 32 channels of 64 bits.
        const MAX_FRAME: u32 = 256;
        matches!(u32_at(&self.stsz, 4), Some(1..=MAX_FRAME))
            && pair(&self.stts, 0, 8).is_some_and(|(_, delta)| delta == 1)
    }

    /// Returns the size of sample `n`.
    fn size(&self, n: u32) -> Option<u32> {
        let (common, count) = (u32_at(&self.stsz, 4)?, u32_at(&self.stsz, 8)?);
        match common {
            _ if n >= count => None,
            0 => u32_at(&self.stsz, 12 + 4 * usize::try_from(n).ok()?),
            size => Some(size),
        }
    }

    /// Returns the position of chunk `n`.
    fn chunk(&self, n: u32) -> Option<u64> {
        let at = 8 + self.offset_width * usize::try_from(n).ok()?;
        unsigned(&self.offsets, at, self.offset_width)
    }
}

/// Returns the first two numbers of entry `n` of a table with entries of `width` bytes.
fn pair(table: &[u8], n: usize, width: usize) -> Option<(u32, u32)> {
    let at = 8 + n.checked_mul(width)?;
    Some((u32_at(table, at)?, u32_at(table, at + 4)?))
}

/// A place in a table of runs: entries that hold for several samples.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    next_entry: usize,
    left: u32,
    value: u32,
}

impl Run {
    /// Returns the value for the next sample, or `None` at the end of the table.
    fn next(&mut self, table: &[u8]) -> Option<u32> {
        while self.left == 0 {
            (self.left, self.value) = pair(table, self.next_entry, 8)?;
            self.next_entry += 1;
        }
        self.left -= 1;
        Some(self.value)
    }
}

/// A place in the sequence of samples.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor {
    sample: u32,
    decode_time: u64,
    durations: Run,
    offsets: Run,
    /// Next entry of `stsc`, the next chunk, and the samples left in the current one.
    next_group: usize,
    per_chunk: u32,
    next_chunk: u32,
    left_in_chunk: u32,
    pos: u64,
}

impl Cursor {
    /// Returns the next sample, or `None` at the end of the tables.
    pub(super) fn next(&mut self, tables: &Tables) -> Option<Sample> {
        let size = tables.size(self.sample)?;
        // A table that is too short loses no packets: the last duration holds for the rest.
        let duration = self.durations.next(&tables.stts).unwrap_or(self.durations.value);
        if self.left_in_chunk == 0 {
            self.enter_chunk(tables)?;
        }
        let offset = self.offsets.next(&tables.ctts).map_or(0, u32::cast_signed);
        let time = i64::try_from(self.decode_time).ok()?.checked_add(i64::from(offset))?;
        let sample = Sample { pos: self.pos, size, time, duration };
        self.sample = self.sample.checked_add(1)?;
        self.left_in_chunk -= 1;
        self.pos = self.pos.checked_add(u64::from(size))?;
        self.decode_time = self.decode_time.checked_add(u64::from(duration))?;
        Some(sample)
    }

    fn enter_chunk(&mut self, tables: &Tables) -> Option<()> {
        // Chunks are numbered from 1 in this table only.
        let first = |group: usize| Some(pair(&tables.stsc, group, 12)?.0.saturating_sub(1));
        while first(self.next_group).is_some_and(|first| first <= self.next_chunk) {
            self.per_chunk = pair(&tables.stsc, self.next_group, 12)?.1;
            self.next_group += 1;
        }
        self.left_in_chunk = Some(self.per_chunk).filter(|&n| n > 0)?;
        self.pos = tables.chunk(self.next_chunk)?;
        self.next_chunk = self.next_chunk.checked_add(1)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn samples_follow_the_tables() {
        let tables = Tables {
            stts: table(&[0, 2, 3, 10, 1, 100]),
            ctts: table(&[0, 2, 1, 0, 3, 5]),
            stsc: table(&[0, 2, 1, 2, 1, 2, 1, 1]),
            stsz: table(&[0, 0, 4, 7, 8, 9, 6]),
            offsets: table(&[0, 3, 1000, 2000, 3000]),
            offset_width: 4,
        };
        let mut cursor = Cursor::default();
        let samples: Vec<_> = std::iter::from_fn(|| cursor.next(&tables)).collect();
        let expected = [(1000, 7, 0, 10), (1007, 8, 15, 10), (2000, 9, 25, 10), (3000, 6, 35, 100)]
            .map(|(pos, size, time, duration)| Sample { pos, size, time, duration });
        assert_eq!(samples, expected);
        assert_eq!(tables.duration(), 130);
    }

    proptest! {
        #[test]
        fn any_tables(tables in prop::collection::vec(prop::collection::vec(0..50_u32, 0..12), 5)) {
            let [stts, ctts, stsc, stsz, offsets] = [0, 1, 2, 3, 4].map(|n| table(&tables[n]));
            let tables = Tables { stts, ctts, stsc, stsz, offsets, offset_width: 4 };
            let mut cursor = Cursor::default();
            let samples = std::iter::from_fn(|| cursor.next(&tables)).count();
            prop_assert!(samples <= 50);
        }
    }
}
