//! Builds Matroska files of 16-bit PCM at 16 kHz.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use super::mp4::pcm;

fn element(id: u32, body: &[u8]) -> Vec<u8> {
    let id = id.to_be_bytes();
    let first = id.iter().position(|&b| b != 0).unwrap();
    let size = (1_u64 << 56 | body.len() as u64).to_be_bytes();
    [&id[first..], &size, body].concat()
}

fn number(id: u32, value: u64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

/// A packet of a track at a time in ms.
pub type Block<'a> = (u64, u64, &'a [f32]);

/// A file with audio as track 1 and pictures as track 2, each block in a cluster of its own. The
/// segment has the length it declares, or none as a browser writes it.
pub fn file(blocks: &[Block<'_>], is_live: bool) -> Vec<u8> {
    let head = [element(0x4282, b"matroska"), number(0x4287, 4), number(0x4285, 2)];
    let audio = [
        [number(0xd7, 1), number(0x73c5, 1), number(0x83, 2), element(0x86, b"A_PCM/INT/LIT")]
            .concat(),
        element(
            0xe1,
            &[element(0xb5, &16_000_f64.to_be_bytes()), number(0x9f, 1), number(0x6264, 16)]
                .concat(),
        ),
    ];
    let video = [
        [number(0xd7, 2), number(0x73c5, 2), number(0x83, 1), element(0x86, b"V_VP8")].concat(),
        element(0xe0, &[number(0xb0, 32), number(0xba, 32)].concat()),
    ];
    let tracks = [element(0xae, &audio.concat()), element(0xae, &video.concat())].concat();
    let mut segment = element(
        0x1549_a966,
        &[number(0x2a_d7b1, 1_000_000), element(0x4d80, b"tests"), element(0x5741, b"tests")]
            .concat(),
    );
    segment.extend(element(0x1654_ae6b, &tracks));
    for &(track, ms, samples) in blocks {
        let block = [vec![0x80 | track as u8, 0, 0, 0x80], pcm(samples)].concat();
        segment.extend(element(0x1f43_b675, &[number(0xe7, ms), element(0xa3, &block)].concat()));
    }
    let mut file = element(0x1a45_dfa3, &head.concat());
    if is_live {
        file.extend(b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff");
        file.extend(segment);
    } else {
        file.extend(element(0x1853_8067, &segment));
    }
    file
}
