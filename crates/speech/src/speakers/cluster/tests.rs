//! Clustering against FunASR and SciPy. tests/fixtures/speakers/README.md describes the references.

use serde::Deserialize;

use super::*;
use crate::{compute::thread_cpu_seconds, fixtures, speakers::tests::uniform};

const DIMENSIONS: u64 = 24;

#[derive(Deserialize)]
pub(super) struct Case {
    pub(super) name: String,
    /// Number of windows, number of speakers, spread of a voice, windows per turn.
    sizes: (u64, u64, f32, u64),
    truth: Vec<usize>,
    /// Row sums of the affinity matrix.
    pub(super) degrees: Vec<f64>,
    pub(super) eigenvalues: Vec<f64>,
    /// Number of speakers by the eigengap.
    pub(super) count: usize,
    pub(super) spectral: Vec<usize>,
    /// Labels after merging similar speakers.
    merged: Vec<usize>,
    /// Labels for a given number of three speakers.
    three: Vec<usize>,
    /// SciPy's average linkage, cut where the mean cosine is 0.4, and at three clusters.
    pub(super) average: Vec<usize>,
    pub(super) average3: Vec<usize>,
    #[serde(skip)]
    embeddings: Vec<Vec<f32>>,
}

impl Case {
    pub(super) fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.embeddings.iter().map(|row| &**row)
    }

    fn windows(&self) -> Vec<Embedding> {
        windows(&self.embeddings)
    }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = fixtures::json("speakers/clusters.json");
    for (number, case) in cases.iter_mut().enumerate() {
        let (who, embeddings) = voices(number as u64, case.sizes);
        assert_eq!(who, case.truth, "the rules of the script and of this test differ");
        case.embeddings = embeddings;
    }
    cases
}

/// Makes the speakers and embeddings of `voices` in make.py.
fn voices(
    case: u64,
    (windows, speakers, spread, turn): (u64, u64, f32, u64),
) -> (Vec<usize>, Vec<Vec<f32>>) {
    let one = |at: u64| {
        let draw = (uniform(case * 1_000_000 + at / turn) + 1.0) / 2.0;
        let who = ((draw * speakers as f32) as u64).min(speakers - 1);
        let value = |d: u64| {
            let centroid = uniform((case * 1000 + who) * 1000 + d);
            let noise = uniform(500_000_000 + (case * 100_000 + at) * DIMENSIONS + d);
            centroid + spread * noise
        };
        (who as usize, (0..DIMENSIONS).map(value).collect())
    };
    (0..windows).map(one).unzip()
}

/// Makes consecutive windows that overlap by half.
fn windows(vectors: &[Vec<f32>]) -> Vec<Embedding> {
    let window = |(i, vector): (usize, &Vec<f32>)| Embedding {
        start: i as f64 * 0.75,
        end: i as f64 * 0.75 + 1.5,
        vector: vector.clone(),
    };
    vectors.iter().enumerate().map(window).collect()
}

/// Asserts that the labels form the same groups, whatever the numbers.
pub(super) fn assert_same_partition(found: &[usize], expected: &[usize], case: &str) {
    assert_eq!(found.len(), expected.len(), "{case}");
    let mut names = std::collections::BTreeMap::new();
    let mut taken = std::collections::BTreeMap::new();
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(names.entry(found).or_insert(expected), &expected, "{case}: window {i}");
        assert_eq!(taken.entry(expected).or_insert(found), &found, "{case}: window {i}");
    }
}

/// Returns the share of windows with the right speaker, if each true speaker is mapped to the label
/// found most often for it.
fn agreement(found: &[usize], truth: &[usize]) -> f64 {
    let size = |labels: &[usize]| labels.iter().max().map_or(0, |label| label + 1);
    let mut counts = vec![vec![0; size(found)]; size(truth)];
    found.iter().zip(truth).for_each(|(&found, &truth)| counts[truth][found] += 1);
    let right: usize = counts.iter().filter_map(|row| row.iter().max()).sum();
    right as f64 / found.len() as f64
}

fn with_count(count: usize) -> SpeakerOptions {
    SpeakerOptions { count: Some(count), ..SpeakerOptions::default() }
}

fn agglomerative() -> SpeakerOptions {
    SpeakerOptions { method: ClusteringMethod::Agglomerative, ..SpeakerOptions::default() }
}

fn speakers(labels: &[usize]) -> usize {
    labels.iter().collect::<std::collections::BTreeSet<_>>().len()
}

#[test]
fn speakers_match_funasr() {
    for case in cases() {
        let windows = case.windows();
        let found = cluster(&windows, &SpeakerOptions::default());
        assert_same_partition(&found, &case.merged, &case.name);
        // For another number of speakers, the result for three depends on random initialization.
        if case.count == 3 {
            assert_same_partition(&cluster(&windows, &with_count(3)), &case.three, &case.name);
        }
    }
}

#[test]
fn agglomerative_clustering_finds_the_speakers() {
    for case in cases() {
        let found = cluster(&case.windows(), &agglomerative());
        let agreement = agreement(&found, &case.truth);
        let least = if case.name == "noisy" { 0.9 } else { 0.98 };
        assert!(agreement > least, "{}: {agreement}", case.name);
    }
}

#[test]
fn respects_the_numbers_of_speakers() {
    for case in cases() {
        let windows = case.windows();
        for method in [ClusteringMethod::Spectral, ClusteringMethod::Agglomerative] {
            let found = |count, min, max| {
                speakers(&cluster(
                    &windows,
                    &SpeakerOptions { count, min, max, method, voices: None },
                ))
            };
            for count in [1, 2, 5] {
                assert_eq!(found(Some(count), None, None), count, "{} {method:?}", case.name);
            }
            assert!(found(None, Some(3), None) >= 3, "{} {method:?}", case.name);
            assert!(found(None, None, Some(2)) <= 2, "{} {method:?}", case.name);
        }
    }
}

#[test]
fn accepts_unusual_embeddings() {
    for options in [SpeakerOptions::default(), with_count(3), agglomerative()] {
        assert!(cluster(&[], &options).is_empty());
        assert_eq!(cluster(&windows(&[vec![0.5; 4]]), &options), [0]);
        for vector in [vec![0.0; 4], vec![1.0; 4], vec![f32::NAN; 4], vec![f32::MAX; 4], vec![]] {
            for count in [2, 3, 25] {
                let labels = cluster(&windows(&vec![vector.clone(); count]), &options);
                assert_eq!(labels.len(), count);
            }
        }
    }
}

#[test]
fn a_given_count_separates_few_windows() {
    let (truth, vectors) = voices(1, (8, 2, 0.4, 2));
    assert_eq!(speakers(&truth), 2);
    assert_same_partition(&cluster(&windows(&vectors), &with_count(2)), &truth, "eight windows");
}

/// A recording of ten hours.
#[test]
fn work_is_bounded() {
    let (truth, vectors) = voices(4, (48_000, 5, 0.8, 9));
    let windows = windows(&vectors);
    for options in [SpeakerOptions::default(), agglomerative(), with_count(5)] {
        let start = thread_cpu_seconds();
        let found = cluster(&windows, &options);
        let seconds = thread_cpu_seconds() - start;
        eprintln!("{:?} {:?}: {seconds:.2} s of a core", options.method, options.count);
        assert_eq!(speakers(&found), 5);
        let agreement = agreement(&found, &truth);
        assert!(agreement > 0.99, "{agreement}");
    }
}
