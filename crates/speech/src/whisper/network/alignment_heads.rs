//! The cross-attention heads that follow the words through the audio, where a model's files do not list
//! them.

use super::Dimensions;

/// Layer and head of each alignment head.
type Heads = &'static [(usize, usize)];

/// The heads that OpenAI found (whisper/__init__.py, `_ALIGNMENT_HEADS`): number of decoder layers, whether the
/// model is multilingual, number of mel bands, heads.
const KNOWN: [(usize, bool, usize, Heads); 10] = [
    (4, false, 80, &[(1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)]),
    (4, true, 80, &[(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)]),
    (6, false, 80, &[(3, 3), (4, 7), (5, 1), (5, 5), (5, 7)]),
    (6, true, 80, &[(3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6)]),
    (
        12,
        false,
        80,
        &[
            (6, 6),
            (7, 0),
            (7, 3),
            (7, 8),
            (8, 2),
            (8, 5),
            (8, 7),
            (9, 0),
            (9, 4),
            (9, 8),
            (9, 10),
            (10, 0),
            (10, 1),
            (10, 2),
            (10, 3),
            (10, 6),
            (10, 11),
            (11, 2),
            (11, 4),
        ],
    ),
    (
        12,
        true,
        80,
        &[(5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5)],
    ),
    (
        24,
        false,
        80,
        &[
            (11, 4),
            (14, 1),
            (14, 12),
            (14, 14),
            (15, 4),
            (16, 0),
            (16, 4),
            (16, 9),
            (17, 12),
            (17, 14),
            (18, 7),
            (18, 10),
            (18, 15),
            (20, 0),
            (20, 3),
            (20, 9),
            (20, 14),
            (21, 12),
        ],
    ),
    (24, true, 80, &[(13, 15), (15, 4), (15, 15), (16, 1), (20, 0), (23, 4)]),
    // large-v3; large-v1 and large-v2 cannot be told apart, so they get the rule below.
    (
        32,
        true,
        128,
        &[
            (7, 0),
            (10, 17),
            (12, 18),
            (13, 12),
            (16, 1),
            (17, 14),
            (19, 11),
            (21, 4),
            (24, 1),
            (25, 6),
        ],
    ),
    // large-v3-turbo has four decoder layers.
    (4, true, 128, &[(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)]),
];

/// Returns the alignment heads of a model of this size. For other models, those are all heads of the last
/// half of the layers, as in OpenAI's code.
pub(super) fn default_heads(dimensions: &Dimensions) -> Vec<(usize, usize)> {
    let Dimensions { decoder_layers, heads, mels, .. } = *dimensions;
    let multilingual = dimensions.is_multilingual();
    let known = KNOWN.iter().find(|(layers, languages, bands, known)| {
        (*layers, *languages, *bands) == (decoder_layers, multilingual, mels)
            && known.iter().all(|&(_, head)| head < heads)
    });
    match known {
        Some((_, _, _, known)) => known.to_vec(),
        None => (decoder_layers / 2..decoder_layers)
            .flat_map(|layer| (0..heads).map(move |head| (layer, head)))
            .collect(),
    }
}
