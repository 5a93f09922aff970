//! Builds MP4 files of 16-bit PCM, and changes those of others.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub fn atom(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes(), kind.as_slice(), body].concat()
}

pub fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// An entry of an edit list: duration in ms, start in the media (-1: nothing is heard).
pub type Edit = (u32, i32);

pub fn edit_list(edits: &[Edit]) -> Vec<u8> {
    let mut body = words(&[0, edits.len() as u32]);
    for &(duration, media) in edits {
        body.extend(words(&[duration, media.cast_unsigned(), 0x1_0000]));
    }
    atom(b"edts", &atom(b"elst", &body))
}

pub fn pcm(samples: &[f32]) -> Vec<u8> {
    samples.iter().flat_map(|x| ((x * 32_768.0) as i16).to_le_bytes()).collect()
}

fn header(kind: &[u8; 4], timescale: u32) -> Vec<u8> {
    atom(kind, &[words(&[0, 0, 0, timescale, 0, 0]), vec![0; 76]].concat())
}

/// A track of PCM at 16 kHz with its tables, `id` and edit list.
pub fn track(id: u32, handler: &[u8; 4], edits: &[u8], tables: &[Vec<u8>]) -> Vec<u8> {
    let mut entry = vec![0; 6];
    entry.extend([0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 16, 0, 0, 0, 0]);
    entry.extend((16_000_u32 << 16).to_be_bytes());
    let kind = if handler == b"soun" { b"sowt" } else { b"none" };
    let stsd = atom(b"stsd", &[words(&[0, 1]), atom(kind, &entry)].concat());
    let stbl = atom(b"stbl", &[vec![stsd], tables.to_vec()].concat().concat());
    let hdlr = atom(b"hdlr", &[&[0; 8], handler.as_slice(), &[0; 13]].concat());
    let media = [header(b"mdhd", 16_000), hdlr, atom(b"minf", &stbl)].concat();
    let tkhd = atom(b"tkhd", &[words(&[0, 0, 0, id]), vec![0; 80]].concat());
    atom(b"trak", &[&tkhd, edits, &atom(b"mdia", &media)].concat())
}

pub fn empty_tables() -> [Vec<u8>; 4] {
    [
        atom(b"stts", &words(&[0, 0])),
        atom(b"stsc", &words(&[0, 0])),
        atom(b"stsz", &words(&[0, 0, 0])),
        atom(b"stco", &words(&[0, 0])),
    ]
}

/// A file with `samples` in one chunk. `durations` are runs of frames with the duration of each in
/// units of 1/16000 s; `others` are more tracks.
pub fn file(samples: &[f32], durations: &[(u32, u32)], edits: &[u8], others: &[u8]) -> Vec<u8> {
    let build = |offset: u32| {
        let mut stts = words(&[0, durations.len() as u32]);
        durations.iter().for_each(|&(count, delta)| stts.extend(words(&[count, delta])));
        let tables = [
            atom(b"stts", &stts),
            atom(b"stsc", &words(&[0, 1, 1, samples.len() as u32, 1])),
            atom(b"stsz", &words(&[0, 2, samples.len() as u32])),
            atom(b"stco", &words(&[0, 1, offset])),
        ];
        let parts = [header(b"mvhd", 1000), track(1, b"soun", edits, &tables), others.to_vec()];
        [atom(b"ftyp", b"M4A \0\0\0\0"), atom(b"moov", &parts.concat())].concat()
    };
    let offset = build(0).len() as u32 + 8;
    [build(offset), atom(b"mdat", &pcm(samples))].concat()
}

/// A file without samples that says that fragments follow.
pub fn fragmented(edits: &[u8], seconds: u32, others: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut tracks = track(1, b"soun", edits, &empty_tables());
    let trex = |id: u32| atom(b"trex", &words(&[0, id, 1, 1, 2, 0]));
    let mut mvex = [atom(b"mehd", &words(&[0, seconds * 1000])), trex(1)].concat();
    for (id, other) in others {
        tracks.extend(other);
        mvex.extend(trex(*id));
    }
    let parts = [header(b"mvhd", 1000), tracks, atom(b"mvex", &mvex)];
    [atom(b"ftyp", b"iso5\0\0\0\0"), atom(b"moov", &parts.concat())].concat()
}

/// A fragment with `samples` that begins at frame `time` of track `id`, in one packet of 1000 frames
/// after the other.
pub fn fragment(id: u32, time: u64, samples: &[f32]) -> Vec<u8> {
    let build = |offset: u32| {
        let sizes: Vec<u8> = samples
            .chunks(1000)
            .flat_map(|packet| words(&[packet.len() as u32, 2 * packet.len() as u32]))
            .collect();
        let count = samples.len().div_ceil(1000) as u32;
        let trun = atom(b"trun", &[words(&[0x301, count, offset]), sizes].concat());
        let tfdt = atom(b"tfdt", &words(&[0x0100_0000, (time >> 32) as u32, time as u32]));
        let traf = [atom(b"tfhd", &words(&[0x2_0000, id])), tfdt, trun].concat();
        atom(b"moof", &[atom(b"mfhd", &words(&[0, 1])), atom(b"traf", &traf)].concat())
    };
    let moof = build(0);
    [build(moof.len() as u32 + 8), atom(b"mdat", &pcm(samples))].concat()
}

/// Returns the packets of a file with one track of AAC in order of the file, each with a header of its
/// own. `rate` is the index of the sample rate.
pub fn to_adts(file: &[u8], rate: u8, channels: u8) -> Vec<u8> {
    let at = |name: &[u8; 4]| file.windows(4).position(|window| window == name).unwrap() + 4;
    let word = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let (sizes, mut data) = (at(b"stsz"), at(b"mdat"));
    let mut adts = Vec::new();
    for n in 0..word(sizes + 8) {
        let size = word(sizes + 12 + 4 * n);
        let len = (size + 7) as u16;
        adts.extend([0xff, 0xf1, 0x40 | rate << 2 | channels >> 2]);
        adts.extend([
            channels << 6 | (len >> 11) as u8,
            (len >> 3) as u8,
            (len << 5) as u8 | 0x1f,
            0xfc,
        ]);
        adts.extend_from_slice(&file[data..data + size]);
        data += size;
    }
    adts
}
