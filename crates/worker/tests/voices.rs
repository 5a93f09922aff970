//! Jobs that name voice prints.

#![allow(clippy::unwrap_used)]

mod support;

use std::fs;

use job::{JobOptions, Speakers};
use queue::Queue;
use speech::speakers::voices::{Encoder, Voice, VoicePrints};
use support::{Fleet, write_speech};

/// Runs a job with the voice prints at this URI; returns why it was given up.
async fn reason(fleet: Fleet, voices: String) -> (String, String) {
    write_speech(&fleet.path("a.wav"), 3);
    let speakers = Speakers { voices: Some(voices), ..Speakers::default() };
    fleet.submit_with("a.wav", JobOptions { speakers: Some(speakers), ..Default::default() }).await;
    let (summary, queue, _root) = fleet.run().await;
    assert_eq!((summary.done, summary.failed), (0, 1));
    let mut letters = queue.take_dead_letters(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    let reason = letters.remove(0).reason;
    // A permanent failure is not tried again.
    let retried =
        if reason.code == "voices_unusable" || reason.code == "source_not_allowed" { 0 } else { 2 };
    assert_eq!(summary.retried, retried, "{reason:?}");
    (reason.code, reason.detail)
}

#[tokio::test(flavor = "multi_thread")]
async fn voice_prints_that_cannot_be_used_fail_the_job() {
    for (content, cause) in [
        (None, "no such"),
        (Some(b"{}".to_vec()), "it is not a file of voice prints: missing field"),
        (Some(vec![b' '; (8 << 20) + 1]), "8388609 bytes"),
    ] {
        let fleet = Fleet::new(|_| {});
        if let Some(content) = content {
            fs::write(fleet.path("voices.json"), content).unwrap();
        }
        let voices = fleet.uri("voices.json");
        let (code, detail) = reason(fleet, voices.clone()).await;
        assert_eq!(code, "voices_unusable", "{detail}");
        assert!(detail.contains(&format!("voice prints {voices}: ")), "{detail}");
        assert!(detail.to_lowercase().contains(cause), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn voice_prints_need_a_speaker_model_as_speakers_do() {
    let fleet = Fleet::new(|_| {});
    let encoder = Encoder { name: "campplus".to_owned(), digest: "d1".to_owned() };
    let mut prints = VoicePrints::new(encoder);
    let (name, print) = ("Anna".to_owned(), vec![0.6, 0.8]);
    prints.insert(Voice { name, seconds: 10.0, recordings: 1, print }).unwrap();
    fs::write(fleet.path("voices.json"), prints.to_json()).unwrap();
    let voices = fleet.uri("voices.json");
    let (code, detail) = reason(fleet, voices).await;
    assert_eq!(code, "model_unavailable", "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn voice_prints_are_read_below_the_sources_only() {
    let fleet = Fleet::new(|_| {});
    let (code, detail) = reason(fleet, "file:///etc/passwd".to_owned()).await;
    assert_eq!(code, "source_not_allowed");
    assert!(detail.contains("the voice prints are not below"), "{detail}");
}
