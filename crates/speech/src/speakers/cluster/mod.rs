//! Clusters embeddings by speaker, as FunASR's `ClusterBackend`, but with bounded work.
//!
//! Fewer than [`MAX_CLUSTERED`] windows (25 minutes of speech) are clustered as in FunASR.
//! Otherwise runs of similar neighbouring windows are averaged first, and if there are still too
//! many, evenly spaced ones are selected; every window is then assigned to the speaker whose mean
//! it is most similar to. (FunASR uses UMAP and HDBSCAN there, which are neither deterministic nor
//! bounded.)
//!
//! A recording of ten hours (48,000 windows) therefore costs little more than 2048 windows: 160 MB
//! for the matrix, its eigenvectors and their computation, a copy of the embeddings (37 MB), and 2 s
//! of one core (0.1 s for agglomerative clustering).

mod agglomerative;
mod kmeans;
mod spectral;
#[cfg(test)]
mod tests;

use super::{
    Embedding,
    options::{ClusteringMethod, SpeakerOptions},
};

/// Number of windows from which on they are averaged or sampled: FunASR's limit of spectral
/// clustering.
const MAX_CLUSTERED: usize = 2048;
/// Number of windows below which FunASR assumes a single speaker.
const MIN_CLUSTERED: usize = 20;
/// Cosine of centroids from which on two clusters are one speaker: FunASR's `merge_thr`.
const MERGE_THRESHOLD: f32 = 0.78;
/// Minimum number of windows of a speaker: 3D-Speaker's `min_cluster_size`.
const MIN_CLUSTER_SIZE: usize = 4;
/// Minimum cosine of neighbouring windows that are averaged.
const MIN_VOICE_SIMILARITY: f32 = 0.5;

/// Unit vectors, row-major.
pub(super) struct Vectors {
    len: usize,
    width: usize,
    values: Vec<f32>,
}

impl Vectors {
    /// Normalizes the rows. Rows that are zero or not finite become zero, which is similar to no
    /// voice.
    fn new<'a>(rows: impl IntoIterator<Item = &'a [f32]>) -> Self {
        let (mut len, mut width, mut values) = (0, 0, Vec::new());
        for row in rows {
            len += 1;
            let norm = dot(row, row).sqrt();
            let factor = if norm.is_normal() { norm.recip() } else { 0.0 };
            width = row.len();
            values.extend(row.iter().map(|value| if factor == 0.0 { 0.0 } else { value * factor }));
        }
        Self { len, width, values }
    }

    fn len(&self) -> usize {
        self.len
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }

    fn cosine(&self, a: usize, b: usize) -> f32 {
        dot(self.row(a), self.row(b))
    }
}

/// Returns the speaker of each embedding, numbered from 0 in no particular order. `embeddings` must
/// be in order of time.
pub(super) fn cluster(embeddings: &[Embedding], options: &SpeakerOptions) -> Vec<usize> {
    let count = embeddings.len();
    if count == 0 {
        return Vec::new();
    }
    let (min, max) = options.bounds(count);
    let spectral = options.method == ClusteringMethod::Spectral;
    if max == 1 || (spectral && min == 1 && count < MIN_CLUSTERED && options.count.is_none()) {
        return vec![0; count];
    }
    let vectors: Vec<&[f32]> = embeddings.iter().map(|embedding| &*embedding.vector).collect();
    if count < MAX_CLUSTERED {
        return cluster_all(&vectors, options, min, max);
    }
    let voices = average_runs(embeddings);
    let sample: Vec<&[f32]> =
        sample_evenly(&voices, MAX_CLUSTERED - 1).map(|voice| &**voice).collect();
    let labels = cluster_all(&sample, options, min.min(sample.len()), max.min(sample.len()));
    let centroids = centroids(&sample, &labels);
    nearest(&vectors, &centroids)
}

/// Clusters all rows; the labels are consecutive from 0.
fn cluster_all(rows: &[&[f32]], options: &SpeakerOptions, min: usize, max: usize) -> Vec<usize> {
    let vectors = Vectors::new(rows.iter().copied());
    // The eigengap of a few windows means little.
    if options.method == ClusteringMethod::Spectral && rows.len() >= MIN_CLUSTERED {
        let labels = renumber(spectral::cluster(&vectors, min, max));
        if options.count.is_some() { labels } else { merge_similar(labels, rows, min) }
    } else {
        let labels = agglomerative::cluster(&vectors, min, max);
        if options.count.is_some() || rows.len() < MIN_CLUSTERED {
            return labels;
        }
        merge_similar(reassign_small(labels, rows, min), rows, min)
    }
}

/// Merges the two clusters whose centroids are most similar, until none are similar enough or only
/// `min` are left: FunASR's `merge_by_cos`.
fn merge_similar(mut labels: Vec<usize>, rows: &[&[f32]], min: usize) -> Vec<usize> {
    loop {
        let centroids = centroids(rows, &labels);
        let mut best = (MERGE_THRESHOLD, None);
        for a in 0..centroids.len() {
            for b in a + 1..centroids.len() {
                let similarity = centroids.cosine(a, b);
                if similarity > best.0 || (best.1.is_none() && similarity == best.0) {
                    best = (similarity, Some((a, b)));
                }
            }
        }
        let Some((into, from)) = best.1.filter(|_| centroids.len() > min) else { return labels };
        for label in &mut labels {
            if *label == from {
                *label = into;
            } else if *label > from {
                *label -= 1;
            }
        }
    }
}

/// Assigns the members of clusters that are too small for a speaker to the other clusters. Keeps at
/// least the `min` largest clusters.
fn reassign_small(labels: Vec<usize>, rows: &[&[f32]], min: usize) -> Vec<usize> {
    let count = labels.iter().max().map_or(0, |label| label + 1);
    let mut sizes: Vec<(usize, usize)> = (0..count).map(|label| (0, label)).collect();
    labels.iter().for_each(|&label| sizes[label].0 += 1);
    sizes.sort_by(|a, b| b.cmp(a));
    let large = sizes.iter().filter(|(size, _)| *size >= MIN_CLUSTER_SIZE).count().max(min).max(1);
    let kept: Vec<usize> = sizes.iter().take(large).map(|(_, label)| *label).collect();
    if kept.len() == count {
        return labels;
    }
    let chosen = |i: &usize| kept.contains(&labels[*i]);
    let (members, names): (Vec<&[f32]>, Vec<usize>) =
        (0..rows.len()).filter(chosen).map(|i| (rows[i], labels[i])).unzip();
    let names = renumber(names);
    let mut own = names.iter().copied();
    let others = nearest(rows, &centroids(&members, &names));
    let reassigned = (0..rows.len()).map(|i| {
        let own = if chosen(&i) { own.next() } else { None };
        own.unwrap_or(others[i])
    });
    reassigned.collect()
}

/// Renumbers labels by first appearance.
fn renumber(labels: Vec<usize>) -> Vec<usize> {
    let mut seen = Vec::new();
    labels
        .into_iter()
        .map(|label| {
            seen.iter().position(|&other| other == label).unwrap_or_else(|| {
                seen.push(label);
                seen.len() - 1
            })
        })
        .collect()
}

/// Returns the direction of the mean of each label's rows.
fn centroids(rows: &[&[f32]], labels: &[usize]) -> Vectors {
    let count = labels.iter().max().map_or(0, |label| label + 1);
    let width = rows.first().map_or(0, |row| row.len());
    let mut sums = vec![vec![0.0; width]; count];
    for (row, &label) in rows.iter().zip(labels) {
        sums[label].iter_mut().zip(*row).for_each(|(sum, value)| *sum += value);
    }
    Vectors::new(sums.iter().map(|sum| &**sum))
}

/// Returns the index of the most similar centroid for each row.
fn nearest(rows: &[&[f32]], centroids: &Vectors) -> Vec<usize> {
    let best = |row: &&[f32]| {
        (0..centroids.len())
            .rev()
            .max_by(|&a, &b| dot(row, centroids.row(a)).total_cmp(&dot(row, centroids.row(b))))
            .unwrap_or(0)
    };
    rows.iter().map(best).collect()
}

/// Averages runs of similar neighbouring windows. The maximum length of a run is chosen so that,
/// without interruptions, about as many runs remain as can be clustered.
fn average_runs(embeddings: &[Embedding]) -> Vec<Vec<f32>> {
    let max_members = 2 * embeddings.len().div_ceil(MAX_CLUSTERED);
    let units = Vectors::new(embeddings.iter().map(|embedding| &*embedding.vector));
    let mut sums: Vec<Vec<f32>> = Vec::new();
    let mut members = 0;
    for (i, embedding) in embeddings.iter().enumerate() {
        let unit = units.row(i);
        let joins = |sum: &Vec<f32>| {
            let norm = dot(sum, sum).sqrt();
            members < max_members
                && embedding.start <= embeddings[i - 1].end
                && dot(sum, unit) >= MIN_VOICE_SIMILARITY * norm
        };
        match sums.last_mut().filter(|sum| joins(sum)) {
            Some(sum) => {
                sum.iter_mut().zip(unit).for_each(|(sum, value)| *sum += value);
                members += 1;
            }
            None => {
                sums.push(unit.to_vec());
                members = 1;
            }
        }
    }
    sums
}

/// Selects at most `max` of `items`, evenly spaced.
fn sample_evenly<T>(items: &[T], max: usize) -> impl Iterator<Item = &T> {
    let count = items.len().min(max);
    (0..count).map(move |i| &items[i * items.len() / count])
}

/// Computes a dot product in independent lanes, which the compiler can vectorize.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut partial = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in partial.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    partial.iter().sum::<f32>() + rest
}
