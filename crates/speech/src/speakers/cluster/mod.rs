//! From embeddings to speakers: FunASR's `ClusterBackend`, with bounded work.
//!
//! Up to [`MOST_CLUSTERED`] windows (25 minutes of speech) are clustered as FunASR does it. Of more,
//! stretches of one voice are first averaged, and if there are still too many, evenly spaced ones
//! are taken; every window then goes to the speaker whose mean it is most similar to. (FunASR turns
//! to UMAP and HDBSCAN there, which are neither deterministic nor bounded.)
//!
//! The cost of a recording of ten hours (48,000 windows) is therefore little more than that of 2048
//! windows: 34 MB for the matrix and a copy of the embeddings (37 MB), and 2 s of one core (0.1 s
//! for agglomerative clustering).

mod agglomerative;
mod eigen;
mod kmeans;
mod spectral;
#[cfg(test)]
mod tests;

use super::{
    Embedding,
    options::{Method, SpeakerOptions},
};

/// FunASR's limit too, for spectral clustering.
const MOST_CLUSTERED: usize = 2048;
/// With fewer windows FunASR takes for granted that one person speaks.
const LEAST_CLUSTERED: usize = 20;
/// Mean voices more similar than this are one speaker: FunASR's `merge_thr`.
const SAME_SPEAKER: f32 = 0.78;
/// Smaller clusters are no speakers of their own: 3D-Speaker's `min_cluster_size`.
const LEAST_MEMBERS: usize = 4;
/// Neighbouring windows at least so similar are taken for one voice.
const SAME_VOICE: f32 = 0.5;

/// Unit vectors, row-major.
pub(super) struct Vectors {
    len: usize,
    width: usize,
    values: Vec<f32>,
}

impl Vectors {
    /// What has no direction, or is not finite, becomes zero: like nobody's voice.
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

/// The speaker of each embedding, numbered from 0 in no particular order. `embeddings` are in
/// order of time.
pub(super) fn cluster(embeddings: &[Embedding], options: &SpeakerOptions) -> Vec<usize> {
    let count = embeddings.len();
    if count == 0 {
        return Vec::new();
    }
    let (min, max) = options.bounds(count);
    let spectral = options.method == Method::Spectral;
    if max == 1 || (spectral && min == 1 && count < LEAST_CLUSTERED && options.count.is_none()) {
        return vec![0; count];
    }
    let vectors: Vec<&[f32]> = embeddings.iter().map(|embedding| &*embedding.vector).collect();
    if count < MOST_CLUSTERED {
        return cluster_all(&vectors, options, min, max);
    }
    let voices = stretches(embeddings);
    let sample: Vec<&[f32]> = evenly(&voices, MOST_CLUSTERED - 1).map(|voice| &**voice).collect();
    let labels = cluster_all(&sample, options, min.min(sample.len()), max.min(sample.len()));
    let centres = centres(&sample, &labels);
    nearest(&vectors, &centres)
}

/// Labels `0..`, none of them missing.
fn cluster_all(rows: &[&[f32]], options: &SpeakerOptions, min: usize, max: usize) -> Vec<usize> {
    let vectors = Vectors::new(rows.iter().copied());
    // An eigengap says little about a handful of windows.
    if options.method == Method::Spectral && rows.len() >= LEAST_CLUSTERED {
        let labels = compact(spectral::cluster(&vectors, min, max));
        if options.count.is_some() { labels } else { merge(labels, rows, min) }
    } else {
        let labels = agglomerative::cluster(&vectors, min, max);
        if options.count.is_some() || rows.len() < LEAST_CLUSTERED {
            return labels;
        }
        merge(absorb(labels, rows, min), rows, min)
    }
}

/// Makes one speaker of the two whose mean voices are most similar, until no two are similar
/// enough, or only `min` are left: FunASR's `merge_by_cos`.
fn merge(mut labels: Vec<usize>, rows: &[&[f32]], min: usize) -> Vec<usize> {
    loop {
        let centres = centres(rows, &labels);
        let mut best = (SAME_SPEAKER, None);
        for a in 0..centres.len() {
            for b in a + 1..centres.len() {
                let similarity = centres.cosine(a, b);
                if similarity > best.0 || (best.1.is_none() && similarity == best.0) {
                    best = (similarity, Some((a, b)));
                }
            }
        }
        let Some((into, from)) = best.1.filter(|_| centres.len() > min) else { return labels };
        for label in &mut labels {
            if *label == from {
                *label = into;
            } else if *label > from {
                *label -= 1;
            }
        }
    }
}

/// Gives the members of clusters that are too small to be speakers to the others; at least `min`
/// clusters, the largest, are left.
fn absorb(labels: Vec<usize>, rows: &[&[f32]], min: usize) -> Vec<usize> {
    let count = labels.iter().max().map_or(0, |label| label + 1);
    let mut sizes: Vec<(usize, usize)> = (0..count).map(|label| (0, label)).collect();
    labels.iter().for_each(|&label| sizes[label].0 += 1);
    sizes.sort_by(|a, b| b.cmp(a));
    let large = sizes.iter().filter(|(size, _)| *size >= LEAST_MEMBERS).count().max(min).max(1);
    let kept: Vec<usize> = sizes.iter().take(large).map(|(_, label)| *label).collect();
    if kept.len() == count {
        return labels;
    }
    let chosen = |i: &usize| kept.contains(&labels[*i]);
    let (members, names): (Vec<&[f32]>, Vec<usize>) =
        (0..rows.len()).filter(chosen).map(|i| (rows[i], labels[i])).unzip();
    let names = compact(names);
    let mut own = names.iter().copied();
    let others = nearest(rows, &centres(&members, &names));
    let absorbed = (0..rows.len()).map(|i| {
        let own = if chosen(&i) { own.next() } else { None };
        own.unwrap_or(others[i])
    });
    absorbed.collect()
}

/// The same labels, renumbered by first appearance.
fn compact(labels: Vec<usize>) -> Vec<usize> {
    let mut names = Vec::new();
    labels
        .into_iter()
        .map(|label| {
            names.iter().position(|&name| name == label).unwrap_or_else(|| {
                names.push(label);
                names.len() - 1
            })
        })
        .collect()
}

/// The direction of the mean of each label's rows.
fn centres(rows: &[&[f32]], labels: &[usize]) -> Vectors {
    let count = labels.iter().max().map_or(0, |label| label + 1);
    let width = rows.first().map_or(0, |row| row.len());
    let mut sums = vec![vec![0.0; width]; count];
    for (row, &label) in rows.iter().zip(labels) {
        sums[label].iter_mut().zip(*row).for_each(|(sum, value)| *sum += value);
    }
    Vectors::new(sums.iter().map(|sum| &**sum))
}

/// For each row the centre that it is most similar to.
fn nearest(rows: &[&[f32]], centres: &Vectors) -> Vec<usize> {
    let best = |row: &&[f32]| {
        (0..centres.len())
            .rev()
            .max_by(|&a, &b| dot(row, centres.row(a)).total_cmp(&dot(row, centres.row(b))))
            .unwrap_or(0)
    };
    rows.iter().map(best).collect()
}

/// Means of neighbouring windows of one voice: short enough that there are about as many as can be
/// clustered if nobody interrupts.
fn stretches(embeddings: &[Embedding]) -> Vec<Vec<f32>> {
    let longest = 2 * embeddings.len().div_ceil(MOST_CLUSTERED);
    let units = Vectors::new(embeddings.iter().map(|embedding| &*embedding.vector));
    let mut found: Vec<Vec<f32>> = Vec::new();
    let mut members = 0;
    for (i, embedding) in embeddings.iter().enumerate() {
        let unit = units.row(i);
        let joins = |sum: &Vec<f32>| {
            let norm = dot(sum, sum).sqrt();
            members < longest
                && embedding.start <= embeddings[i - 1].end
                && dot(sum, unit) >= SAME_VOICE * norm
        };
        match found.last_mut().filter(|sum| joins(sum)) {
            Some(sum) => {
                sum.iter_mut().zip(unit).for_each(|(sum, value)| *sum += value);
                members += 1;
            }
            None => {
                found.push(unit.to_vec());
                members = 1;
            }
        }
    }
    found
}

/// At most `most` of `items`.
fn evenly<T>(items: &[T], most: usize) -> impl Iterator<Item = &T> {
    let count = items.len().min(most);
    (0..count).map(move |i| &items[i * items.len() / count])
}

/// In independent lanes, which the compiler can lay side by side.
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
