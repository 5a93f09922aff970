//! Durations of Vorbis packets (Vorbis I specification, 4.2 and 4.3).

/// What the headers say about the lengths of blocks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Blocks {
    /// Lengths of short and long blocks.
    sizes: [u64; 2],
    /// Whether each mode uses long blocks.
    modes: Vec<bool>,
    last: Option<u64>,
}

impl Blocks {
    /// Reads the identification header and the setup header.
    pub(super) fn parse(ident: &[u8], setup: &[u8]) -> Option<Self> {
        let exponents = ident.get(28)?;
        let sizes = [exponents & 15, exponents >> 4].map(|exponent| 1 << exponent);
        Some(Blocks { sizes, modes: modes(setup)?, last: None })
    }

    /// Returns the frames that a packet adds. The first block of a stream adds none.
    pub(super) fn duration(&mut self, packet: &[u8]) -> u64 {
        let Some(first) = packet.first().filter(|&&first| first & 1 == 0) else { return 0 };
        let bits = usize::BITS - (self.modes.len() - 1).leading_zeros();
        let mode = usize::from(first >> 1) & ((1 << bits) - 1);
        let Some(&is_long) = self.modes.get(mode) else { return 0 };
        let size = self.sizes[usize::from(is_long)];
        self.last.replace(size).map_or(0, |last| last / 4 + size / 4)
    }
}

/// Reads bits from the end of `bytes`, where the table of modes is. What lies before it, the codebooks,
/// could only be skipped by parsing it.
struct Backward<'a> {
    bytes: &'a [u8],
    used: usize,
}

impl Backward<'_> {
    fn take(&mut self, bits: usize) -> Option<u64> {
        (0..bits).try_fold(0, |value, _| {
            let at = (self.bytes.len() * 8).checked_sub(self.used + 1)?;
            self.used += 1;
            Some(value << 1 | u64::from(self.bytes[at / 8] >> (at % 8) & 1))
        })
    }
}

/// Returns whether each mode uses long blocks.
fn modes(setup: &[u8]) -> Option<Vec<bool>> {
    const MAX_MODES: usize = 64;
    let mut bits = Backward { bytes: setup, used: 0 };
    while bits.take(1)? == 0 {} // Up to the framing bit.
    let (mut flags, mut found) = (Vec::new(), None);
    while flags.len() < MAX_MODES {
        let (Some(mapping), Some(0), Some(0), Some(flag)) =
            (bits.take(8), bits.take(16), bits.take(16), bits.take(1))
        else {
            break;
        };
        if mapping > 63 {
            break;
        }
        flags.push(flag == 1);
        let count = Backward { ..bits }.take(6)? as usize + 1;
        // Codebooks before the table may look like more modes, so the longest match is right.
        if count == flags.len() {
            found = Some(flags.clone());
        }
    }
    let mut modes = found?;
    modes.reverse();
    Some(modes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packs fields of the given widths, from the lowest bit up.
    fn pack(fields: &[(u64, usize)]) -> Vec<u8> {
        let bits: Vec<u8> = fields
            .iter()
            .flat_map(|&(value, width)| (0..width).map(move |n| (value >> n & 1) as u8))
            .collect();
        bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| byte << 1 | bit)).collect()
    }

    #[test]
    fn reads_modes_and_durations() {
        let mode = |flag: u64, mapping: u64| [(flag, 1), (0, 16), (0, 16), (mapping, 8)];
        let table = [mode(0, 0), mode(1, 1), mode(1, 0)].concat();
        let setup = [vec![(0x1234_5678, 37), (2, 6)], table, vec![(1, 1)]].concat();
        let mut ident = [0; 30];
        ident[28] = 0xb8;
        let blocks = Blocks::parse(&ident, &pack(&setup));
        let expected = Blocks { sizes: [256, 2048], modes: vec![false, true, true], last: None };
        assert_eq!(blocks, Some(expected.clone()));
        let mut blocks = expected;
        let durations =
            [0b000, 0b010, 0b100, 0b000, 0b110, 1].map(|first| blocks.duration(&[first]));
        assert_eq!(durations, [0, 576, 1024, 576, 0, 0]);
    }

    proptest! {
        #[test]
        fn any_setup(setup in prop::collection::vec(any::<u8>(), 0..300), packet: u8) {
            if let Some(mut blocks) = Blocks::parse(&[0x99; 30], &setup) {
                blocks.duration(&[packet]);
            }
        }
    }
}
