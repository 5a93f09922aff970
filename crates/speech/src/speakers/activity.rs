//! Turns from windows and chunks: windows say whose voice it is, chunks say to the frame when it speaks, and
//! who else does.

use std::collections::VecDeque;

use super::{
    Turn,
    assignment::assign,
    chunks::{self, Chunks, LOCAL_SPEAKERS},
    cluster::Clusters,
    counts::counts,
    frames::{Span, seconds},
    vectors::{Vectors, dot},
    votes::Membership,
    windows::WINDOW_FRAMES,
};

/// What a frame of a window counts for the likeness of its voice to a speaker's, beside the chunk's own word for
/// it.
const VOICE: f32 = 0.3;
/// What a frame of a speaker's windows in the chunk counts, whichever local speaker they are of: who has no window alone, mostly
/// the second one of an overlap, is rather somebody who speaks near by than anybody.
const NEAR_BY: f32 = 0.05;
/// What the windows at a frame count, beside the chunks.
const WINDOWS: f32 = 2.0;
/// Frames for which the activity of all speakers is held at once.
const BLOCK: u32 = 4_096;
/// Activity that is none.
const NONE: f32 = 1e-6;

/// All that is known of a recording in the end.
pub(super) struct Evidence<'a> {
    pub(super) chunks: &'a Chunks,
    /// In order of time.
    pub(super) windows: &'a [Span],
    pub(super) vectors: &'a Vectors,
    /// Of each window; empty without chunks.
    pub(super) memberships: &'a [Vec<Membership>],
    /// Speech that was found by other means, in order; used without chunks.
    pub(super) speech: &'a [Span],
    /// Frames of the recording.
    pub(super) frames: u32,
}

/// Returns the turns in order of start, and the cluster of each of their speakers, who are numbered by first
/// appearance.
pub(super) fn turns(evidence: &Evidence<'_>, clusters: &Clusters) -> (Vec<Turn>, Vec<usize>) {
    let count = clusters.centres.len();
    if count == 0 {
        return (Vec::new(), Vec::new());
    }
    let local = local_speakers(evidence, clusters);
    let counts = counts(evidence.chunks, evidence.speech, evidence.frames);
    let mut runs = Runs::new(count);
    let mut first_window = 0;
    for start in (0..evidence.frames).step_by(BLOCK as usize) {
        let block = Span { start, end: (start + BLOCK).min(evidence.frames) };
        let activity = activity(evidence, clusters, &local, block, &mut first_window);
        let counts = &counts[start as usize..block.end as usize];
        for ((frame, &active), activity) in (start..).zip(counts).zip(activity.chunks_exact(count))
        {
            runs.push(frame, usize::from(active), activity);
        }
    }
    runs.finish(evidence.frames)
}

/// Returns the cluster of each local speaker of each chunk: one to one, those whose windows it has and whose
/// voice is alike.
fn local_speakers(
    evidence: &Evidence<'_>,
    clusters: &Clusters,
) -> Vec<[Option<usize>; LOCAL_SPEAKERS]> {
    let count = clusters.centres.len();
    let likeness = |window: usize| -> Vec<f32> {
        let vector = evidence.vectors.row(window);
        clusters.centres.iter().map(|centre| dot(centre, &vector)).collect()
    };
    // The windows from `first` on, as far as a chunk has been there: several chunks have a window.
    let (mut first, mut likenesses) = (0, VecDeque::new());
    let of_chunk = |chunk: u32| {
        let span = evidence.chunks.span(chunk);
        let spoken =
            evidence.chunks.frames(chunk).iter().fold(0, |all, &f| all | chunks::speakers(f));
        let present: Vec<usize> =
            (0..LOCAL_SPEAKERS).filter(|speaker| spoken >> speaker & 1 == 1).collect();
        let mut gains = vec![0.0; present.len() * count];
        while evidence.windows.get(first).is_some_and(|window| window.end <= span.start) {
            first += 1;
            likenesses.pop_front();
        }
        for (index, window) in evidence.windows.iter().enumerate().skip(first) {
            if window.start >= span.end {
                break;
            }
            if index - first == likenesses.len() {
                likenesses.push_back(likeness(index));
            }
            let (label, frames) = (clusters.labels[index], window.len() as f32);
            gains.chunks_exact_mut(count).for_each(|gains| gains[label] += NEAR_BY * frames);
            let memberships = &evidence.memberships[index];
            let Some(member) = memberships.iter().find(|member| member.chunk == chunk) else {
                continue;
            };
            let speaker = usize::from(member.speaker);
            let Some(row) = present.iter().position(|&other| other == speaker) else { continue };
            let gains = &mut gains[row * count..][..count];
            gains[label] += frames * member.share;
            for (gain, likeness) in gains.iter_mut().zip(&likenesses[index - first]) {
                *gain += VOICE * frames * likeness;
            }
        }
        let mut found = [None; LOCAL_SPEAKERS];
        for (&speaker, cluster) in present.iter().zip(assign(&gains, count)) {
            found[speaker] = cluster;
        }
        found
    };
    (0..evidence.chunks.len()).map(of_chunk).collect()
}

/// Returns how active each cluster is in a block of frames, `[frames, clusters]`.
fn activity(
    evidence: &Evidence<'_>,
    clusters: &Clusters,
    local: &[[Option<usize>; LOCAL_SPEAKERS]],
    block: Span,
    first_window: &mut usize,
) -> Vec<f32> {
    let (frames, count) = (block.len() as usize, clusters.centres.len());
    let (mut speakers, mut covering) = (vec![0.0; frames * count], vec![0.0f32; frames]);
    for chunk in evidence.chunks.covering(block) {
        let first = (evidence.chunks.span(chunk).start.max(block.start) - block.start) as usize;
        for (index, &frame) in (first..).zip(evidence.chunks.frames_in(chunk, block)) {
            covering[index] += 1.0;
            for (speaker, cluster) in local[chunk as usize].iter().enumerate() {
                if let Some(cluster) = cluster
                    && chunks::speakers(frame) >> speaker & 1 == 1
                {
                    speakers[index * count + cluster] += 1.0;
                }
            }
        }
    }
    for (row, covering) in speakers.chunks_exact_mut(count).zip(&covering) {
        row.iter_mut().for_each(|value| *value /= covering.max(1.0));
    }
    add_windows(evidence, clusters, block, first_window, &mut speakers);
    speakers
}

/// Adds to each frame's activity the share of the windows there that each speaker has.
fn add_windows(
    evidence: &Evidence<'_>,
    clusters: &Clusters,
    block: Span,
    first_window: &mut usize,
    speakers: &mut [f32],
) {
    let (frames, count) = (block.len() as usize, clusters.centres.len());
    let (mut shares, mut weights) = (vec![0.0; frames * count], vec![0.0f32; frames]);
    let windows = evidence.windows;
    while windows.get(*first_window).is_some_and(|window| window.end <= block.start) {
        *first_window += 1;
    }
    for (index, window) in windows.iter().enumerate().skip(*first_window) {
        if window.start >= block.end {
            break;
        }
        for frame in window.start.max(block.start)..window.end.min(block.end) {
            let weight = weight(*window, frame);
            let at = (frame - block.start) as usize;
            shares[at * count + clusters.labels[index]] += weight;
            weights[at] += weight;
        }
    }
    for (frame, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
        for cluster in frame * count..(frame + 1) * count {
            speakers[cluster] += WINDOWS * shares[cluster] / weight;
        }
    }
}

/// Returns what a window says of one of its frames: most in the middle, because neighbours overlap. One that is shorter
/// has no neighbours.
fn weight(window: Span, frame: u32) -> f32 {
    if window.len() < WINDOW_FRAMES {
        return 1.0;
    }
    let half = (window.len() + 1) as f32 / 2.0;
    1.0 - ((frame - window.start + 1) as f32 - half).abs() / half
}

/// Joins frames to turns.
struct Runs {
    /// First frame of the turn that each cluster is in.
    open: Vec<Option<u32>>,
    /// Clusters and their spans.
    closed: Vec<(usize, Span)>,
}

impl Runs {
    fn new(count: usize) -> Self {
        Self { open: vec![None; count], closed: Vec::new() }
    }

    fn push(&mut self, frame: u32, count: usize, activity: &[f32]) {
        let chosen = most_active(activity, count);
        for (cluster, open) in self.open.iter_mut().enumerate() {
            match (*open, chosen.contains(&Some(cluster))) {
                (None, true) => *open = Some(frame),
                (Some(start), false) => {
                    self.closed.push((cluster, Span { start, end: frame }));
                    *open = None;
                }
                _ => {}
            }
        }
    }

    fn finish(mut self, end: u32) -> (Vec<Turn>, Vec<usize>) {
        self.push(end, 0, &[]);
        self.closed.sort_by_key(|&(cluster, span)| (span.start, span.end, cluster));
        let mut order: Vec<usize> = Vec::new();
        let turn = |(cluster, span): (usize, Span)| {
            let speaker = order.iter().position(|&other| other == cluster).unwrap_or_else(|| {
                order.push(cluster);
                order.len() - 1
            });
            Turn { start: seconds(span.start), end: seconds(span.end), speaker }
        };
        let turns = self.closed.into_iter().map(turn).collect();
        (turns, order)
    }
}

/// Returns the most active clusters of a frame, at most two, the first of equal ones.
fn most_active(activity: &[f32], count: usize) -> [Option<usize>; 2] {
    let mut chosen = [None; 2];
    for place in 0..count.min(2) {
        let mut best: Option<(usize, f32)> = None;
        for (cluster, &value) in activity.iter().enumerate() {
            if value > NONE
                && !chosen.contains(&Some(cluster))
                && best.is_none_or(|(_, most)| value > most)
            {
                best = Some((cluster, value));
            }
        }
        chosen[place] = best.map(|(cluster, _)| cluster);
    }
    chosen
}
