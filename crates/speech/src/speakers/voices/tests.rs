use serde_json::{Value, json};

use super::*;
use crate::fixtures;

fn encoder(digest: &str) -> Encoder {
    Encoder { name: "campplus".to_owned(), digest: digest.to_owned() }
}

/// A unit vector at this many degrees.
fn at(degrees: f32) -> Vec<f32> {
    let (sine, cosine) = degrees.to_radians().sin_cos();
    vec![cosine, sine]
}

fn voice(name: &str, print: Vec<f32>) -> Voice {
    Voice { name: name.to_owned(), seconds: 12.5, recordings: 2, print }
}

fn prints(voices: &[(&str, f32)]) -> VoicePrints {
    let mut prints = VoicePrints::new(encoder("d1"));
    for (name, degrees) in voices {
        prints.insert(voice(name, at(*degrees))).unwrap();
    }
    prints
}

fn names(prints: &VoicePrints, degrees: &[f32]) -> Vec<Option<String>> {
    let centres: Vec<Vec<f32>> = degrees.iter().map(|&degrees| at(degrees)).collect();
    prints.names(&centres).into_iter().map(|found| found.map(|found| found.name)).collect()
}

#[test]
fn speakers_get_the_names_of_the_nearest_prints_one_to_one() {
    let known = prints(&[("Anna", 0.0), ("Ben", 90.0)]);
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(names(&known, &[88.0, 3.0]), [some("Ben"), some("Anna")]);
    // Two speakers near one print: the nearer one has the name, in either order.
    assert_eq!(names(&known, &[20.0, 5.0]), [None, some("Anna")]);
    assert_eq!(names(&known, &[5.0, 20.0]), [some("Anna"), None]);
    // A name that the nearest speaker has taken leaves the second nearest one.
    assert_eq!(
        names(&prints(&[("Anna", 0.0), ("Ben", 30.0)]), &[8.0, 10.0]),
        [some("Anna"), some("Ben")]
    );
    // Speakers like nobody who is known stay without a name.
    assert_eq!(names(&known, &[180.0, 270.0]), [None, None]);
    let limit = MIN_SIMILARITY.acos().to_degrees();
    assert_eq!(names(&known, &[-limit - 1.0]), [None]);
    assert_eq!(names(&known, &[-limit + 1.0]), [some("Anna")]);
    assert_eq!(names(&known, &[]), []);
    assert_eq!(names(&prints(&[]), &[0.0]), [None]);
}

#[test]
fn centres_of_any_length_and_without_direction_are_compared() {
    let known = prints(&[("Anna", 0.0)]);
    let found = known.names(&[vec![30.0, 0.0], vec![0.0, 0.0], vec![f32::NAN, 1.0], vec![1.0; 3]]);
    assert_eq!(found[0], Some(Match { name: "Anna".to_owned(), similarity: 1.0 }));
    assert_eq!(found[1..], [None, None, None]);
}

#[test]
fn voices_are_added_replaced_and_removed_by_name() {
    let mut known = prints(&[("Ben", 90.0), ("Anna", 0.0)]);
    assert_eq!(known.voices().iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["Anna", "Ben"]);
    assert!(known.insert(voice("Ben", at(45.0))).unwrap());
    assert_eq!(known.voices()[1].print, at(45.0));
    assert!(known.remove("Anna"));
    assert!(!known.remove("Anna"));
    assert_eq!(known.voices().len(), 1);
}

#[test]
fn a_file_is_read_as_it_was_written() {
    let known = prints(&[("Anna Müller", 12.3), ("Ben", 99.9)]);
    let json = known.to_json();
    assert_eq!(VoicePrints::from_json(&json).unwrap(), known);
    assert_eq!(VoicePrints::from_json(&json).unwrap().to_json(), json);
}

#[test]
fn the_digest_covers_all_that_names_depend_on() {
    let known = prints(&[("Anna", 0.0), ("Ben", 90.0)]);
    assert_eq!(known.digest().len(), 64);
    let mut same = prints(&[("Ben", 90.0)]);
    same.insert(Voice { seconds: 99.0, ..voice("Anna", at(0.0)) }).unwrap();
    assert_eq!(same.digest(), known.digest());
    let mut other_encoder = known.clone();
    other_encoder.encoder.digest = "d2".to_owned();
    for other in [
        prints(&[("Anna", 0.0)]),
        prints(&[("Anna", 1.0), ("Ben", 90.0)]),
        prints(&[("Anne", 0.0), ("Ben", 90.0)]),
        other_encoder,
    ] {
        assert_ne!(other.digest(), known.digest());
    }
}

/// Errors say what is wrong, and what to do about it.
#[test]
fn files_of_others_are_refused() {
    let good: Value =
        serde_json::from_slice(&prints(&[("Anna", 0.0), ("Ben", 90.0)]).to_json()).unwrap();
    let refusal = |json: &[u8]| {
        let error = VoicePrints::from_json(json).unwrap_err();
        errors::Chain(&error).to_string()
    };
    let longest = "n".repeat(MAX_SPEAKER_NAME);
    for (pointer, value, reason) in [
        (
            "/voice_prints_version",
            json!(2),
            "have version 2, this program reads version 1: take a newer",
        ),
        ("/voice_prints_version", json!(1.5), "have version 1.5"),
        ("/voice_prints_version", json!("1"), "not a file of voice prints: invalid type: string"),
        ("/encoder/digest", json!(null), "not a file of voice prints"),
        ("/encoder/size", json!(3), "unknown field `size`"),
        ("/voices/0/more", json!(3), "unknown field `more`"),
        ("/voices/0/name", json!(""), "has no visible characters"),
        ("/voices/0/name", json!(format!("{longest}n")), "has 101 characters, the limit is 100"),
        (
            "/voices/0/name",
            json!("Anna\nSmith"),
            "is not on one line without spaces around it: try \"Anna Smith\"",
        ),
        ("/voices/0/name", json!("\u{202e}Anna"), "try \"Anna\""),
        ("/voices/0/name", json!("Ben"), "\"Ben\" is there twice"),
        (
            "/voices/0/print",
            json!(""),
            "\"Anna\" has too few or too many values: the file is damaged, enroll",
        ),
        ("/voices/0/print", json!("0000803f"), "has too few"),
        ("/voices/0/print", json!("0000803"), "not a file of voice prints"),
        ("/voices/0/print", json!("0000803f0000803f"), "is not a unit vector"),
        ("/voices/0/print", json!("0000c07f00000000"), "is not a unit vector"),
        ("/voices/0/print", json!("0000807f00000000"), "is not a unit vector"),
        (
            "/voices/1/print",
            json!("0000803f0000000000000000"),
            "has another number of values than the others",
        ),
        ("/voices/0/seconds", json!(-1), "has a number of seconds that is none"),
    ] {
        let mut bad = good.clone();
        match bad.pointer_mut(pointer) {
            Some(there) => *there = value,
            None => {
                let (parent, key) = pointer.rsplit_once('/').unwrap();
                bad.pointer_mut(parent).unwrap()[key] = value;
            }
        }
        let message = refusal(bad.to_string().as_bytes());
        assert!(message.contains(reason), "{pointer}: {message}");
    }
    let mut long = good.clone();
    long["voices"][0]["name"] = json!(longest);
    assert!(VoicePrints::from_json(long.to_string().as_bytes()).is_ok());

    let one = &good["voices"][0];
    let voices: Vec<Value> = (0..=MAX_VOICES)
        .map(|index| {
            let mut voice = one.clone();
            voice["name"] = json!(format!("v{index}"));
            voice
        })
        .collect();
    let mut many = good.clone();
    many["voices"] = json!(voices);
    assert!(refusal(many.to_string().as_bytes()).contains("it has 1001 voices, the limit is 1000"));

    assert!(
        refusal(&vec![b' '; MAX_FILE_BYTES + 1])
            .contains("bytes, the limit for voice prints is 8388608")
    );
    for no_file in [
        &b""[..],
        b"[]",
        b"{}",
        b"null",
        b"\xff",
        &good.to_string().as_bytes()[..100],
        &[b'['; 100_000],
    ] {
        assert!(
            refusal(no_file).starts_with("it is not a file of voice prints: "),
            "{}",
            refusal(no_file)
        );
    }
}

#[test]
fn prints_of_another_model_are_refused() {
    let known = prints(&[("Anna", 0.0)]);
    let renamed = Encoder { name: "campplus-zh-en".to_owned(), ..encoder("d1") };
    known.check_encoder(&renamed).unwrap();
    let error = known.check_encoder(&encoder("0123456789")).unwrap_err().to_string();
    for part in ["campplus, digest d1", "campplus, digest 01234567)", "enroll the voices again"] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_direction_is_the_mean_by_seconds_whatever_the_lengths() {
    let mut direction = Direction::default();
    assert_eq!(direction.unit(), None);
    direction.add(&[5.0, 0.0], 3.0);
    direction.add(&[0.0, 0.1], 4.0);
    for nothing in [[0.0, 0.0], [f32::NAN, 1.0], [f32::INFINITY, 1.0]] {
        direction.add(&nothing, 100.0);
    }
    let unit = direction.unit().unwrap();
    assert!((unit[0] - 0.6).abs() < 1e-6 && (unit[1] - 0.8).abs() < 1e-6, "{unit:?}");
    direction.add(&[-1.0, 0.0], 3.0);
    direction.add(&[0.0, -1.0], 4.0);
    assert_eq!(direction.unit(), None);
}

#[test]
fn windows_cover_a_span_and_end_with_it() {
    let windows = |length| window_ranges(length).map(|r| (r.start, r.end)).collect::<Vec<_>>();
    assert!(windows(0).is_empty());
    assert!(windows(6399).is_empty());
    assert_eq!(windows(6400), [(0, 6400)]);
    assert_eq!(windows(24_000), [(0, 24_000)]);
    assert_eq!(windows(24_001), [(0, 24_000), (1, 24_001)]);
    assert_eq!(windows(40_000), [(0, 24_000), (12_000, 36_000), (16_000, 40_000)]);
}

/// Windows of one voice scatter around one direction, those of two people around two.
#[test]
fn two_voices_are_told_from_one() {
    let scattered = |centre: usize, random: &mut fastrand::Rng| {
        let mut vector: Vec<f32> = (0..32).map(|_| (random.f32() - 0.5) * 0.6).collect();
        vector[centre] += 1.5;
        vector
    };
    let mut random = fastrand::Rng::with_seed(3);
    let one: Vec<_> = (0..40).map(|_| scattered(0, &mut random)).collect();
    let mut two = one.clone();
    two.iter_mut().step_by(3).for_each(|vector| *vector = scattered(1, &mut random));
    let seconds = vec![1.5; 40];
    assert!(
        halves(&one, &seconds).is_none_or(|similarity| similarity > 0.8),
        "{:?}",
        halves(&one, &seconds)
    );
    assert!(halves(&two, &seconds).unwrap() < 0.2, "{:?}", halves(&two, &seconds));
    // One window of somebody else, such as a laugh, is not enough.
    let mut outlier = one.clone();
    outlier[7] = scattered(1, &mut random);
    assert_eq!(halves(&outlier, &seconds), None);
    assert_eq!(halves(&[], &[]), None);
    assert_eq!(halves(&one[..1], &seconds[..1]), None);
}

#[test]
fn a_voice_is_made_of_speech() {
    let directory =
        fixtures::directory(&[("model.onnx", fixtures::gunzip("campplus/model.onnx.gz"))]);
    let encoder = SpeakerEncoder::open(directory.path(), "campplus").unwrap();
    let mut enrolment = Enrolment::new(&encoder);
    enrolment.add(&[0.1; 6000]).unwrap();
    assert_eq!(enrolment.voice("Anna", 1).unwrap(), None);
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<f32> = (0..40_000).map(|_| random.f32() - 0.5).collect();
    enrolment.add(&noise).unwrap();
    enrolment.add(&noise[..10_000]).unwrap();
    assert_eq!(enrolment.seconds(), 3.125);
    let voice = enrolment.voice("Anna", 3).unwrap().unwrap();
    assert_eq!((voice.name.as_str(), voice.seconds, voice.recordings), ("Anna", 3.125, 3));
    let expected: Vec<&[f32]> =
        vec![&noise[..24_000], &noise[12_000..36_000], &noise[16_000..], &noise[..10_000]];
    let mut direction = Direction::default();
    for (window, seconds) in expected.iter().zip([1.5, 1.5, 1.5, 0.625]) {
        direction.add(&encoder.embed(&[window]).unwrap()[0], seconds);
    }
    assert!(cosine(&voice.print, &direction.unit().unwrap()) > 0.9999);
    let mut prints = VoicePrints::new((&encoder).into());
    prints.insert(voice).unwrap();
    prints.check_encoder(&(&encoder).into()).unwrap();
    assert!(matches!(enrolment.voice(" ", 1), Err(Error::Name { .. })));
}
