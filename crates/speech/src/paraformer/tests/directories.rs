//! Opening model directories: which are accepted, which are refused, and with what message.

use std::{fs, path::Path};

use errors::Chain;

use super::{clip, model_file};
use crate::{
    fixtures,
    funasr::Vocabulary,
    paraformer::Paraformer,
    recognizer::{Error, Precision, RecognizeOptions, Recognizer},
};

/// Makes a directory in FunASR's layout with one of the small models, then applies `change` to it.
fn directory(model: &str, change: impl Fn(&Path)) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    let words = fixtures::path("words/model");
    for name in ["am.mvn", "config.yaml"] {
        write(name, &fs::read(words.join(name)).unwrap());
    }
    let config = fs::read_to_string(words.join("config.yaml")).unwrap();
    write("config.yaml", config.replace("lang: en\n", "").as_bytes());
    write("model.onnx", &model_file(model, "model.onnx"));
    write("tokens.json", &fs::read(fixtures::path("funasr/tokens.json")).unwrap());
    if model == "seaco" {
        write("model_eb.onnx", &model_file(model, "model_eb.onnx"));
    }
    change(directory.path());
    directory
}

fn open(model: &str, change: impl Fn(&Path)) -> Result<Paraformer, String> {
    let directory = directory(model, change);
    Paraformer::open(directory.path(), model, None).map_err(|error| Chain(&error).to_string())
}

#[test]
fn hotwords_change_the_recognition() {
    let seaco = open("seaco", |_| ()).unwrap();
    assert!(seaco.takes_hotwords());
    assert_eq!(seaco.description().languages, ["zh", "en"]);
    let samples = clip("01_phrase");
    let with = |words: &[&str]| {
        let hotwords = words.iter().map(|&word| word.to_owned()).collect();
        seaco.recognize(&samples, &RecognizeOptions { hotwords, ..RecognizeOptions::default() })
    };
    let none = with(&[]).unwrap();
    assert_ne!(none, with(&["丂七", "hello"]).unwrap());
    // More than the 51 that the decoder takes.
    let many: Vec<String> =
        (0..300u32).map(|i| char::from_u32(0x4e00 + i % 20).unwrap().to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(!with(&many).unwrap().hypotheses.is_empty());
    let error = with(&["一丁丂七丄丅丆万丈三上"]).unwrap_err();
    assert!(
        matches!(&error, Error::Hotword { hotword, .. } if hotword.starts_with("一丁")),
        "{error}"
    );
}

#[test]
fn files_that_do_not_fit_fail_at_open() {
    let edit = |name: &'static str, from: &'static str, to: &'static str| {
        move |directory: &Path| {
            let path = directory.join(name);
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.contains(from));
            fs::write(path, text.replace(from, to)).unwrap();
        }
    };
    let remove =
        |name: &'static str| move |directory: &Path| fs::remove_file(directory.join(name)).unwrap();
    type Change = Box<dyn Fn(&Path)>;
    let cases: [(&str, Change, &str); 11] = [
        (
            "bicif",
            Box::new(edit("tokens.json", "\"a\", ", "")),
            "tokens.json: holds 31 tokens, but the network has 32 classes",
        ),
        (
            "bicif",
            Box::new(edit("config.yaml", "tail_threshold: 0.45", "tail_threshold: 0.3")),
            "its configuration says 0.3",
        ),
        (
            "bicif",
            Box::new(edit("config.yaml", "threshold: 1.0", "threshold: 0.9")),
            "fires at 0.9",
        ),
        (
            "bicif",
            Box::new(edit("config.yaml", "lfr_m: 7", "lfr_m: 6")),
            "560 values, but a frame has 80 x 6",
        ),
        (
            "bicif",
            Box::new(remove("model.onnx")),
            "no model_quant.onnx or model.int8.onnx or model.onnx",
        ),
        ("bicif", Box::new(remove("am.mvn")), "no am.mvn"),
        ("bicif", Box::new(remove("tokens.json")), "no tokens.json or tokens.txt"),
        (
            "bicif",
            Box::new(remove("config.yaml")),
            "no `neg_mean` in its metadata, and no config.yaml",
        ),
        ("seaco", Box::new(remove("model_eb.onnx")), "no model_eb_quant.onnx or model_eb.onnx"),
        ("sensevoice", Box::new(|_| ()), "is not a Paraformer"),
        (
            "bicif",
            Box::new(|directory| fs::write(directory.join("model.onnx"), "no").unwrap()),
            "model.onnx: ",
        ),
    ];
    for (model, change, cause) in cases {
        let message = open(model, change).err().expect(cause);
        assert!(message.contains(cause), "{message}");
    }
    let int8 = directory("bicif", |directory| {
        fs::remove_file(directory.join("model.onnx")).unwrap();
        let quantized = model_file("bicif", "model_quant.onnx");
        fs::write(directory.join("model_quant.onnx"), quantized).unwrap();
    });
    let open = |precision| Paraformer::open(int8.path(), "x", precision);
    open(None).map(drop).unwrap();
    for (precision, name) in [(Precision::Bf16, "bf16"), (Precision::F32, "f32")] {
        let message = open(Some(precision)).err().unwrap().to_string();
        assert!(
            message.contains(&format!("no model.onnx, whose floats {name} needs")),
            "{message}"
        );
    }
    fs::rename(int8.path().join("model_quant.onnx"), int8.path().join("model.onnx")).unwrap();
    let message = open(Some(Precision::Bf16)).err().unwrap().to_string();
    assert!(message.contains("is already quantized"), "{message}");
    assert_eq!(open(Some(Precision::Int8)).unwrap().description().precision, "int8");
}

#[test]
fn each_precision_has_its_own_digest() {
    let directory = directory("bicif", |_| ());
    let open = |precision| {
        let model = Paraformer::open(directory.path(), "x", precision).unwrap();
        (model.description().precision, model.description().digest.clone())
    };
    let found = [Precision::Int8, Precision::Bf16, Precision::F32].map(Some).map(open);
    assert_eq!(found.each_ref().map(|(name, _)| *name), ["int8", "bf16", "f32"]);
    let digests = found.each_ref().map(|(_, digest)| digest);
    assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[2] != digests[0]);
    assert_eq!(open(None), found[0]);
}

#[test]
fn a_nan_weight_fails_at_open() {
    let message = open("paraformer", |directory| {
        let path = directory.join("model.onnx");
        let mut bytes = fs::read(&path).unwrap();
        // The name of the bias of the predictor's last layer precedes its four bytes.
        let name = b"predictor.cif_output.bias";
        let at = bytes.windows(name.len()).rposition(|window| window == name).unwrap();
        let start = at + name.len() + 2;
        bytes[start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        fs::write(path, bytes).unwrap();
    });
    let message = message.err().expect("refused");
    assert!(message.contains("is damaged"), "{message}");
}

#[test]
fn both_layouts_give_the_same_recognition() {
    let plain =
        Paraformer::open(directory("paraformer", |_| ()).path(), "f32", Some(Precision::F32));
    let plain = plain.unwrap();
    let sherpa = open("paraformer", |directory| {
        let mvn = fs::read_to_string(directory.join("am.mvn")).unwrap();
        let rows: Vec<&str> =
            mvn.lines().filter(|line| line.starts_with("<LearnRateCoef>")).collect();
        let values = |row: &str| {
            let fields: Vec<&str> = row.split_whitespace().collect();
            fields[3..fields.len() - 1].join(",")
        };
        let metadata = [
            ("vocab_size", "32".to_owned()),
            ("lfr_window_size", "7".to_owned()),
            ("lfr_window_shift", "6".to_owned()),
            ("neg_mean", values(rows[0])),
            ("inv_stddev", values(rows[1])),
        ];
        let path = directory.join("model.onnx");
        let mut model = fs::read(&path).unwrap();
        for (key, value) in metadata {
            model.extend(fixtures::onnx_metadata(key, &value));
        }
        fs::remove_file(path).unwrap();
        fs::write(directory.join("model.int8.onnx"), model).unwrap();
        let tokens = Vocabulary::open(directory).unwrap();
        let lines =
            tokens.symbols().iter().enumerate().map(|(id, symbol)| format!("{symbol} {id}\n"));
        fs::write(directory.join("tokens.txt"), lines.collect::<String>()).unwrap();
        for name in ["am.mvn", "config.yaml", "tokens.json"] {
            fs::remove_file(directory.join(name)).unwrap();
        }
    })
    .unwrap();
    assert_eq!(sherpa.description().precision, "int8");
    assert_eq!(sherpa.description().languages, plain.description().languages);
    let samples = clip("01_phrase");
    let [a, b] = [&plain, &sherpa]
        .map(|model| model.recognize(&samples, &RecognizeOptions::default()).unwrap());
    assert_eq!(a, b);
    assert!(!a.hypotheses.is_empty());
}
