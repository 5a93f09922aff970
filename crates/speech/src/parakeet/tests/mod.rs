mod decoding;
mod directories;
mod features;
mod recognizer;

use std::collections::HashMap;

use crate::{fixtures, npz::Npz};

/// What onnx-asr computes for one clip.
#[derive(serde::Deserialize)]
struct Clip {
    encoder_length: usize,
    f32: Text,
    int8: Text,
}

#[derive(serde::Deserialize)]
struct Text {
    tokens: Vec<usize>,
    frames: Vec<usize>,
    durations: Vec<usize>,
    log_probabilities: Vec<f32>,
}

/// Clips that `reference.npz` has arrays of.
const CLIPS: [&str; 3] = ["sentence", "aligned", "short"];

fn reference() -> HashMap<String, Clip> {
    fixtures::json("parakeet/reference.json")
}

fn arrays(name: &str) -> Npz {
    Npz::open(&fixtures::path("parakeet").join(name))
}
