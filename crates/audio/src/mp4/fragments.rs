//! Movie fragments (`moof`, ISO 14496-12, 8.8): packets of a recording that was written piece by
//! piece. Each piece says when it begins, so that one that was lost leaves its hole.

use std::collections::VecDeque;

use super::atoms::{atoms_in, u32_at, unsigned};
use super::samples::Sample;

/// Values of a track for fragments that state none (`trex`).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Defaults {
    pub(super) duration: u32,
    pub(super) size: u32,
}

/// Maximum number of samples in a fragment. A run without tables has as many as it claims.
const MAX_SAMPLES: usize = 1 << 20;

/// What a fragment says about one track.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Fragment {
    pub(super) samples: VecDeque<Sample>,
    /// The time at which the next fragment begins if it does not say so.
    pub(super) end: u64,
}

/// Returns the tracks in a fragment, with the times at which they begin if they are stated.
pub(super) fn starts(moof: &[u8]) -> impl Iterator<Item = (u32, Option<u64>)> {
    atoms_in(moof).filter(|(kind, _)| kind == b"traf").filter_map(|(_, traf)| {
        let (_, tfhd) = atoms_in(traf).find(|(kind, _)| kind == b"tfhd")?;
        Some((u32_at(tfhd, 4)?, decode_time(traf)))
    })
}

fn decode_time(traf: &[u8]) -> Option<u64> {
    let (_, tfdt) = atoms_in(traf).find(|(kind, _)| kind == b"tfdt")?;
    unsigned(tfdt, 4, if tfdt.first() == Some(&1) { 8 } else { 4 })
}

/// Fields of a `tfhd` atom.
struct Header {
    base: Option<u64>,
    base_is_moof: bool,
    defaults: Defaults,
}

fn header(tfhd: &[u8], mut defaults: Defaults) -> Option<Header> {
    let flags = u32_at(tfhd, 0)?;
    let mut at = 8;
    let mut field = |flag: u32, width: usize| {
        let value = (flags & flag != 0).then(|| unsigned(tfhd, at, width)).flatten();
        at += if flags & flag != 0 { width } else { 0 };
        value
    };
    let base = field(0x1, 8);
    field(0x2, 4);
    let (duration, size) = (field(0x8, 4), field(0x10, 4));
    defaults.duration = duration.map_or(defaults.duration, |n| n as u32);
    defaults.size = size.map_or(defaults.size, |n| n as u32);
    Some(Header { base, base_is_moof: flags & 0x2_0000 != 0, defaults })
}

/// Parses the body of a `moof` atom that begins at `start`, for one track. `time` is the end of the
/// fragment before it.
pub(super) fn parse(
    moof: &[u8],
    start: u64,
    track: u32,
    defaults: Defaults,
    time: u64,
) -> Option<Fragment> {
    let mut fragment = Fragment { samples: VecDeque::new(), end: time };
    // Without a base of its own, the data of a track follows that of the track before it (8.8.7.1).
    let mut data_end = start;
    for (_, traf) in atoms_in(moof).filter(|(kind, _)| kind == b"traf") {
        let (_, tfhd) = atoms_in(traf).find(|(kind, _)| kind == b"tfhd")?;
        let is_ours = u32_at(tfhd, 4)? == track;
        let header = header(tfhd, defaults)?;
        let base = header.base.unwrap_or(if header.base_is_moof { start } else { data_end });
        let mut decode_time = decode_time(traf).unwrap_or(fragment.end);
        let mut pos = base;
        for (_, trun) in atoms_in(traf).filter(|(kind, _)| kind == b"trun") {
            let samples = run(trun, base, &mut pos, header.defaults, &mut decode_time)?;
            if is_ours {
                if fragment.samples.len() + samples.len() > MAX_SAMPLES {
                    return None;
                }
                fragment.samples.extend(samples);
            }
        }
        data_end = pos;
        if is_ours {
            fragment.end = decode_time;
        }
    }
    Some(fragment)
}

/// Parses a `trun` atom whose data begins at `pos`, or at an offset from `base` that it states.
fn run(
    trun: &[u8],
    base: u64,
    pos: &mut u64,
    defaults: Defaults,
    time: &mut u64,
) -> Option<Vec<Sample>> {
    let (flags, count) = (u32_at(trun, 0)?, u32_at(trun, 4)?);
    let mut at = 8;
    if flags & 0x1 != 0 {
        *pos = base.checked_add_signed(i64::from(u32_at(trun, at)?.cast_signed()))?;
        at += 4;
    }
    at += if flags & 0x4 != 0 { 4 } else { 0 };
    if count as usize > MAX_SAMPLES {
        return None;
    }
    let mut samples = Vec::new();
    for _ in 0..count {
        let mut field = |flag: u32| {
            let stated = flags & flag != 0;
            let value = if stated { Some(u32_at(trun, at)?) } else { None };
            at += if stated { 4 } else { 0 };
            Some(value)
        };
        let (duration, size) = (field(0x100)?, field(0x200)?);
        field(0x400)?;
        let offset = field(0x800)?.unwrap_or(0).cast_signed();
        let (duration, size) =
            (duration.unwrap_or(defaults.duration), size.unwrap_or(defaults.size));
        let presented = i64::try_from(*time).ok()?.checked_add(i64::from(offset))?;
        samples.push(Sample { pos: *pos, size, time: presented, duration });
        *pos = pos.checked_add(u64::from(size))?;
        *time = time.checked_add(u64::from(duration))?;
    }
    Some(samples)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn atom(kind: &[u8; 4], words: &[u32]) -> Vec<u8> {
        wrap(kind, &words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>())
    }

    fn wrap(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes(), kind.as_slice(), body].concat()
    }

    #[test]
    fn reads_the_samples_of_one_track() {
        let video = [
            atom(b"tfhd", &[0x2_0000, 1]),
            atom(b"tfdt", &[0, 7]),
            atom(b"trun", &[0x201, 1, 500, 40]),
        ];
        let audio = [
            atom(b"tfhd", &[0x2_0008, 2, 1024]),
            atom(b"tfdt", &[0x0100_0000, 0, 64_000]),
            atom(b"trun", &[0x201, 2, 540, 10, 20]),
            atom(b"trun", &[0x300, 1, 512, 30]),
        ];
        let moof = [
            atom(b"mfhd", &[0, 1]),
            wrap(b"traf", &video.concat()),
            wrap(b"traf", &audio.concat()),
        ]
        .concat();
        assert_eq!(starts(&moof).collect::<Vec<_>>(), [(1, Some(7)), (2, Some(64_000))]);
        let parsed = parse(&moof, 1000, 2, Defaults::default(), 5).unwrap_or_default();
        let expected =
            [(1540, 10, 64_000, 1024), (1550, 20, 65_024, 1024), (1570, 30, 66_048, 512)]
                .map(|(pos, size, time, duration)| Sample { pos, size, time, duration });
        assert_eq!(parsed, Fragment { samples: expected.into(), end: 66_560 });
        let other = parse(&moof, 1000, 3, Defaults::default(), 5);
        assert_eq!(other, Some(Fragment { samples: [].into(), end: 5 }));
    }

    proptest! {
        #[test]
        fn any_fragment(words in prop::collection::vec(any::<u32>(), 0..60), at in 0..60_usize) {
            let mut words = words;
            if let Some(word) = words.get_mut(at) {
                *word = 0x0000_0201;
            }
            let run = [atom(b"tfhd", &[0x2_0000, 2]), atom(b"trun", &words)].concat();
            let parsed = parse(&wrap(b"traf", &run), 0, 2, Defaults::default(), 0);
            prop_assert!(parsed.is_none_or(|fragment| fragment.samples.len() <= 1 << 20));
        }
    }
}
