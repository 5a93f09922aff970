//! Groups windows by voice: average linkage of their embeddings, helped by the votes of the chunks.
//!
//! The matrix of similarities is never larger than [`BLOCK`] squared. More windows than that (25 minutes of
//! speech) are clustered in blocks down to pieces that are surely one voice each, and the pieces of all blocks
//! in the same way, until one matrix holds them.

use super::{
    SpeakerOptions,
    frames::Span,
    linkage::{Dendrogram, average_linkage},
    vectors::{Vectors, dot, normalize},
    votes::{Membership, votes},
};

/// Windows, or pieces, that are clustered together: a matrix of 16 MB.
const BLOCK: usize = 2_000;
/// Pieces that a block becomes at most.
const MAX_PIECES: usize = BLOCK / 4;
/// Mean similarity from which on clusters of one block are one voice surely, and one of any block.
const FINE_SIMILARITY: f32 = 0.55;
const SIMILARITY: f32 = 0.5;
/// The same where there are no chunks that vote.
const SIMILARITY_WITHOUT_VOTES: f32 = 0.45;
/// What a unanimous vote of the chunks adds to the similarity of two windows.
const VOTE: f32 = 0.1;
/// Who is heard for less than this is nobody: seconds of windows, more than one has, and the share of all
/// windows; but who speaks for some ten seconds counts in any recording, unless it lasts hours, in which more is
/// like nobody by chance: then a minute in ten hours counts.
const MIN_SECONDS: f32 = 2.0;
const MIN_SHARE: f32 = 0.02;
const MAX_MIN_SECONDS: f32 = 20.0;
const MIN_SHARE_OF_HOURS: f32 = 0.002;

/// Who speaks in each window.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    /// The speaker of each window.
    pub(super) labels: Vec<usize>,
    /// Unit vector of each speaker.
    pub(super) centres: Vec<Vec<f32>>,
}

/// Windows, or the pieces that they became.
struct Items {
    /// Sums of the embeddings, each times the window's seconds.
    sums: Vec<Vec<f32>>,
    seconds: Vec<f32>,
    /// The item of each window.
    of_windows: Vec<usize>,
}

/// Finds the speakers of all windows, which are in order of time. `memberships` is empty if there are no chunks.
pub(super) fn cluster(
    spans: &[Span],
    vectors: &Vectors,
    memberships: &[Vec<Membership>],
    options: &SpeakerOptions,
) -> Clusters {
    if spans.is_empty() {
        return Clusters::default();
    }
    let seconds: Vec<f32> = spans.iter().map(|span| span.seconds()).collect();
    let scaled = |(index, &seconds): (usize, &f32)| {
        vectors.row(index).into_iter().map(|value| value * seconds).collect()
    };
    let mut items = Items {
        sums: seconds.iter().enumerate().map(scaled).collect(),
        of_windows: (0..spans.len()).collect(),
        seconds,
    };
    // Only windows have votes.
    let mut votes_of = memberships;
    while items.seconds.len() > BLOCK {
        items = items.merged_in_blocks(votes_of);
        votes_of = &[];
    }
    let dendrogram = items.dendrogram(0..items.seconds.len(), votes_of);
    let similarity = if memberships.is_empty() { SIMILARITY_WITHOUT_VOTES } else { SIMILARITY };
    let (labels, kept) = choose(&dendrogram, &items.seconds, similarity, options);
    let centres: Vec<Vec<f32>> =
        kept.iter().map(|&cluster| items.centre(&labels, cluster)).collect();
    let of_window = |window: usize| {
        let cluster = labels[items.of_windows[window]];
        kept.iter().position(|&other| other == cluster).unwrap_or_else(|| {
            let vector = vectors.row(window);
            nearest(&centres, &vector)
        })
    };
    Clusters { labels: (0..spans.len()).map(of_window).collect(), centres }
}

fn nearest(centres: &[Vec<f32>], vector: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, centre) in centres.iter().enumerate() {
        let similarity = dot(centre, vector);
        if similarity > best.1 {
            best = (index, similarity);
        }
    }
    best.0
}

impl Items {
    /// Clusters each block of items, and makes an item of each cluster.
    fn merged_in_blocks(&self, memberships: &[Vec<Membership>]) -> Self {
        let count = self.seconds.len();
        let mut of_items = Vec::with_capacity(count);
        let (mut sums, mut seconds): (Vec<Vec<f32>>, Vec<f32>) = (Vec::new(), Vec::new());
        for start in (0..count).step_by(BLOCK) {
            let end = (start + BLOCK).min(count);
            let dendrogram = self.dendrogram(start..end, memberships);
            let least = (end - start).saturating_sub(MAX_PIECES);
            let labels = dendrogram.cut(dendrogram.merges_above(FINE_SIMILARITY).max(least));
            let first = sums.len();
            for (item, label) in (start..end).zip(labels) {
                let piece = first + label;
                of_items.push(piece);
                if piece == sums.len() {
                    sums.push(self.sums[item].clone());
                    seconds.push(self.seconds[item]);
                } else {
                    add(&mut sums[piece], &self.sums[item]);
                    seconds[piece] += self.seconds[item];
                }
            }
        }
        let of_windows = self.of_windows.iter().map(|&item| of_items[item]).collect();
        Self { sums, seconds, of_windows }
    }

    /// Clusters a range of items. The product of two means is the mean cosine of all pairs of their windows.
    fn dendrogram(
        &self,
        range: std::ops::Range<usize>,
        memberships: &[Vec<Membership>],
    ) -> Dendrogram {
        let count = range.len();
        let mean = |item: usize| -> Vec<f32> {
            let seconds = self.seconds[item].max(f32::MIN_POSITIVE);
            self.sums[item].iter().map(|value| value / seconds).collect()
        };
        let means: Vec<Vec<f32>> = range.clone().map(mean).collect();
        let mut similarities = vec![0.0; count * count];
        for i in 0..count {
            for j in 0..i {
                let similarity = dot(&means[i], &means[j]);
                similarities[i * count + j] = similarity;
                similarities[j * count + i] = similarity;
            }
        }
        if !memberships.is_empty() {
            let first = range.start;
            votes(memberships, range.clone(), |i, j, vote| {
                let (i, j) = (i - first, j - first);
                similarities[i * count + j] += VOTE * vote;
                similarities[j * count + i] += VOTE * vote;
            });
        }
        average_linkage(similarities, &self.seconds[range])
    }

    fn centre(&self, labels: &[usize], cluster: usize) -> Vec<f32> {
        let mut sum = vec![0.0; self.sums.first().map_or(0, Vec::len)];
        for (item, _) in labels.iter().enumerate().filter(|(_, label)| **label == cluster) {
            add(&mut sum, &self.sums[item]);
        }
        normalize(&mut sum);
        sum
    }
}

fn add(sum: &mut [f32], other: &[f32]) {
    sum.iter_mut().zip(other).for_each(|(sum, value)| *sum += value);
}

/// Returns the cluster of each item, and which clusters are speakers.
fn choose(
    dendrogram: &Dendrogram,
    seconds: &[f32],
    similarity: f32,
    options: &SpeakerOptions,
) -> (Vec<usize>, Vec<usize>) {
    let total: f32 = seconds.iter().sum();
    let least = (MIN_SHARE * total).clamp(MIN_SECONDS, MAX_MIN_SECONDS);
    let least = least.max(MIN_SHARE_OF_HOURS * total);
    let labels = dendrogram.cut(dendrogram.merges_above(similarity));
    let speakers = of_size(&labels, seconds, least);
    let (min, max) = options.bounds(seconds.len());
    let wanted = speakers.len().clamp(min, max);
    if speakers.len() == wanted {
        return (labels, speakers);
    }
    // The coarsest cut with so many clusters of some size: a cut into so many clusters of any size would spend
    // them on outliers.
    for merges in (0..=dendrogram.len()).rev() {
        let labels = dendrogram.cut(merges);
        let speakers = of_size(&labels, seconds, least);
        if speakers.len() == wanted {
            return (labels, speakers);
        }
    }
    // There are fewer voices of some size.
    let labels = dendrogram.cut(seconds.len() - wanted);
    let mut speakers = of_size(&labels, seconds, 0.0);
    speakers.truncate(wanted);
    (labels, speakers)
}

/// Returns the clusters that have at least so many seconds, the largest first; the largest one if none has.
fn of_size(labels: &[usize], seconds: &[f32], least: f32) -> Vec<usize> {
    let mut sizes: Vec<f32> = vec![0.0; labels.iter().max().map_or(0, |&label| label + 1)];
    labels.iter().zip(seconds).for_each(|(&label, seconds)| sizes[label] += seconds);
    let mut clusters: Vec<usize> = (0..sizes.len()).collect();
    clusters.sort_by(|&a, &b| sizes[b].total_cmp(&sizes[a]));
    let enough = clusters.iter().filter(|&&cluster| sizes[cluster] >= least).count();
    clusters.truncate(enough.max(1));
    clusters
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    const WIDTH: usize = 64;

    /// Windows of voices, one after the other: a direction for each, with noise.
    fn windows(of: &[usize], noise: f32) -> (Vec<Span>, Vectors) {
        let mut random = fastrand::Rng::with_seed(3);
        let (mut spans, mut vectors) = (Vec::new(), Vectors::default());
        for (index, &voice) in (0u32..).zip(of) {
            let mut vector: Vec<f32> = (0..WIDTH).map(|_| noise * (random.f32() - 0.5)).collect();
            vector[voice] += 1.0;
            normalize(&mut vector);
            let values: Vec<f16> = vector.into_iter().map(f16::from_f32).collect();
            vectors.extend(WIDTH, &values);
            spans.push(Span { start: index * 44, end: index * 44 + 89 });
        }
        (spans, vectors)
    }

    /// Checks that windows have the same label exactly if they have the same voice.
    fn assert_voices(labels: &[usize], of: &[usize]) {
        for (index, (label, voice)) in labels.iter().zip(of).enumerate() {
            let first = of.iter().position(|other| other == voice).unwrap();
            assert_eq!(*label, labels[first], "window {index}");
        }
        let mut voices: Vec<usize> = of.to_vec();
        voices.sort_unstable();
        voices.dedup();
        let mut found = labels.to_vec();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found.len(), voices.len());
    }

    #[test]
    fn each_voice_is_a_speaker() {
        for voices in 1..6 {
            let of: Vec<usize> = (0..60).map(|index| index / 3 % voices).collect();
            let (spans, vectors) = windows(&of, 0.2);
            let found = cluster(&spans, &vectors, &[], &SpeakerOptions::default());
            assert_voices(&found.labels, &of);
            assert_eq!(found.centres.len(), voices);
        }
    }

    #[test]
    fn more_windows_than_a_block_are_clustered_in_levels() {
        let of: Vec<usize> = (0..3 * BLOCK + 17).map(|index| index / 40 % 4).collect();
        let (spans, vectors) = windows(&of, 0.2);
        let found = cluster(&spans, &vectors, &[], &SpeakerOptions::default());
        assert_voices(&found.labels, &of);
        // Also where all windows differ, which makes as many pieces as there may be.
        let (spans, vectors) = windows(&of, 40.0);
        let found = cluster(&spans, &vectors, &[], &SpeakerOptions::default());
        assert_eq!(found.labels.len(), of.len());
        assert!(found.labels.iter().all(|&label| label < found.centres.len()));
    }

    #[test]
    fn who_says_little_is_nobody_unless_it_is_long_enough() {
        // 2 % of 100 windows are 3 s: one window of 1.5 s is too little, three are enough.
        for (few, speakers) in [(1, 1), (3, 2)] {
            let of: Vec<usize> = (0..100).map(|index| usize::from(index < few)).collect();
            let (spans, vectors) = windows(&of, 0.1);
            let found = cluster(&spans, &vectors, &[], &SpeakerOptions::default());
            assert_eq!(found.centres.len(), speakers, "{few} windows");
        }
        // Whose windows are all too short is somebody all the same.
        let (mut spans, vectors) = windows(&[0], 0.1);
        spans[0].end = spans[0].start + 20;
        let found = cluster(&spans, &vectors, &[], &SpeakerOptions::default());
        assert_eq!((found.labels.as_slice(), found.centres.len()), (&[0][..], 1));
        assert!(
            cluster(&[], &Vectors::default(), &[], &SpeakerOptions::default()).labels.is_empty()
        );
    }

    #[test]
    fn bounds_matter_only_where_the_estimate_is_outside() {
        let of: Vec<usize> = (0..90).map(|index| index / 3 % 3).collect();
        let (spans, vectors) = windows(&of, 0.2);
        let count = |count, min, max| {
            let options = SpeakerOptions { count, min, max, voices: None };
            cluster(&spans, &vectors, &[], &options).centres.len()
        };
        assert_eq!(count(None, Some(2), Some(5)), 3);
        assert_eq!(count(Some(3), None, None), 3);
        assert_eq!(count(Some(2), None, None), 2);
        assert_eq!(count(None, None, Some(1)), 1);
        assert_eq!(count(Some(5), None, None), 5);
        assert_eq!(count(None, Some(64), None), 64);
    }

    #[test]
    fn votes_part_voices_that_are_alike() {
        // Two voices whose windows are at the threshold.
        let of: Vec<usize> = vec![0; 40];
        let (spans, vectors) = windows(&of, 0.0);
        let (mut noisy, mut random) = (Vectors::default(), fastrand::Rng::with_seed(1));
        for index in 0..40 {
            let mut vector = vectors.row(index);
            vector[1 + index % 2] += 0.98;
            vector.iter_mut().for_each(|value| *value += 0.02 * random.f32());
            normalize(&mut vector);
            let values: Vec<f16> = vector.into_iter().map(f16::from_f32).collect();
            noisy.extend(WIDTH, &values);
        }
        let member = |index: usize, speaker| {
            vec![Membership { chunk: index as u32 / 10, speaker, share: 1.0 }]
        };
        let apart: Vec<_> = (0..40).map(|index| member(index, index as u8 % 2)).collect();
        let together: Vec<_> = (0..40).map(|index| member(index, 0)).collect();
        let count = |members: &[Vec<Membership>]| {
            cluster(&spans, &noisy, members, &SpeakerOptions::default()).centres.len()
        };
        assert_eq!((count(&apart), count(&together)), (2, 1));
    }
}
