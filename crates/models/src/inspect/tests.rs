//! Inspections of directories of all families, complete and broken.

use std::fs;
use std::path::Path;

use tempfile::{TempDir, tempdir};

use super::*;
use crate::tests::{fixture, fixtures, with_metadata};

/// A directory to which tests add files.
pub(super) struct Model(TempDir);

impl Model {
    pub(super) fn new() -> Self {
        Self(tempdir().unwrap())
    }

    pub(super) fn with(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.0.path().join(name), content).unwrap();
        self
    }

    pub(super) fn without(self, name: &str) -> Self {
        fs::remove_file(self.0.path().join(name)).unwrap();
        self
    }

    pub(super) fn inspect(&self) -> Inspection {
        inspect(self.0.path()).unwrap()
    }

    pub(super) fn error(&self) -> String {
        inspect(self.0.path()).unwrap_err().to_string()
    }
}

fn tokens(count: usize) -> String {
    serde_json::to_string(&vec!["x"; count]).unwrap()
}

fn statistics(width: usize) -> String {
    let row = |value: &str| format!("<LearnRateCoef> 0 [ {}]\n", value.repeat(width));
    format!("<Nnet>\n<AddShift> 9 9\n{}<Rescale> 9 9\n{}", row("-1 "), row("2 "))
}

const FRONTEND: &str = "frontend_conf:\n  fs: 16000\n  lfr_m: 7\n";

/// A Paraformer as FunASR exports it, of one of the fixtures.
fn paraformer(fixture_name: &str, class: &str) -> Model {
    let model = Model::new()
        .with("model_quant.onnx", fixture(&format!("{fixture_name}/model_quant.onnx")))
        .with("am.mvn", statistics(560))
        .with("config.yaml", format!("model: {class}\nlang: zh-cn\n{FRONTEND}"))
        .with("tokens.json", fs::read(fixtures().join("tokens.json")).unwrap());
    match fixture_name {
        "seaco" => model.with("model_eb.onnx", fixture("seaco/model_eb.onnx")),
        _ => model,
    }
}

fn punctuation() -> Model {
    Model::new()
        .with("model.onnx", fixture("ct-punc/model.onnx"))
        .with("config.yaml", "model: CTTransformer\nmodel_conf:\n  punc_list: [a, b, c, d, e, f]\n")
        .with("tokens.json", tokens(9))
}

#[test]
fn recognizes_all_variants_of_paraformer() {
    for (name, class, variant) in [
        ("paraformer", "Paraformer", Variant::Plain),
        ("paraformer-loop", "paraformer", Variant::Plain),
        ("bicif", "BiCifParaformer", Variant::Timestamps),
        ("seaco", "SeacoParaformer", Variant::Hotwords),
    ] {
        let found = paraformer(name, class).inspect();
        assert_eq!(found.problems, []);
        assert_eq!((found.family, found.variant), (Family::Paraformer, Some(variant)));
        assert_eq!((found.layout, found.vocabulary), (Layout::Funasr, Some(32)));
        assert_eq!(found.weight_formats, [WeightFormat::Int8]);
        assert_eq!(found.languages, ["zh"]);
    }
    let both = paraformer("bicif", "BiCifParaformer")
        .with("model.onnx", fixture("bicif/model.onnx"))
        .inspect();
    assert_eq!(both.weight_formats, [WeightFormat::Int8, WeightFormat::F32]);
    assert!(both.is_usable());
}

#[test]
fn hotwords_need_an_embedder() {
    let embedder = fixture("seaco/model_eb.onnx");
    let quantized = || {
        let model = paraformer("seaco", "SeacoParaformer").without("model_eb.onnx");
        model.with("model_eb_quant.onnx", &embedder)
    };
    assert!(quantized().inspect().is_usable(), "{}", quantized().inspect());
    // The f32 recognizer accepts the f32 embedder only.
    let plain = quantized().without("model_quant.onnx");
    let plain = plain.with("model.onnx", fixture("seaco/model.onnx")).inspect();
    assert_eq!(plain.problems[0].file, "model_eb.onnx", "{plain}");
}

#[test]
fn weights_in_other_files_are_a_problem() {
    // graph { initializer { dims: 1, data_type: FLOAT, name: "w", external_data { .. }, .. } }
    let external =
        b"\x3a\x1f\x2a\x1d\x08\x01\x10\x01\x42\x01w\x6a\x12\x0a\x08location\x12\x06w.data\x70\x01";
    let model = [&fixture("paraformer/model_quant.onnx")[..], external].concat();
    let found = paraformer("paraformer", "Paraformer")
        .with("model_quant.onnx", model)
        .with("w.data", [0; 4])
        .inspect();
    assert_eq!(found.problems.len(), 1, "{found}");
    assert!(found.problems[0].message.contains("another file, w.data"), "{found}");
}

#[test]
fn recognizes_older_names() {
    let old = paraformer("paraformer", "x")
        .without("config.yaml")
        .without("am.mvn")
        .with("asr.yaml", format!("model: paraformer\n{FRONTEND}token_list: [a, 0, yes]\n"))
        .with("asr.mvn", statistics(560));
    assert!(old.inspect().is_usable(), "{}", old.inspect());
    let listed = old.without("tokens.json").inspect();
    assert_eq!(listed.problems[0].message, "3 tokens, but the network has 32 classes");
    let numbered = (0..32).map(|id| format!("t{id} {id}\n")).collect::<String>();
    let named = paraformer("paraformer", "Paraformer").without("tokens.json");
    assert!(named.with("tokens.txt", numbered).inspect().is_usable());
    let vad = Model::new().with("vad.yaml", FRONTEND).with("vad.mvn", statistics(400)).inspect();
    assert_eq!(vad.family, Family::FsmnVad);
    assert_eq!(vad.problems.len(), 1, "the network: {vad}");
}

#[test]
fn recognizes_other_families() {
    let sense_voice = Model::new()
        .with("model_quant.onnx", fixture("sensevoice/model_quant.onnx"))
        .with("am.mvn", statistics(560))
        .with("config.yaml", format!("model: SenseVoiceSmall\n{FRONTEND}"))
        .with("tokens.json", tokens(48))
        .inspect();
    assert!(sense_voice.is_usable(), "{sense_voice}");
    assert_eq!(sense_voice.languages, ["zh", "yue", "en", "ja", "ko"]);
    let marks = punctuation().inspect();
    assert!(marks.is_usable(), "{marks}");
    assert_eq!((marks.family, marks.variant), (Family::CtTransformer, Some(Variant::Plain)));
    assert_eq!(marks.vocabulary, Some(9));
    let old =
        punctuation().without("config.yaml").with("punc.yaml", "punc_list: [1, 2, 3, 4, 5, 6]");
    assert!(old.inspect().is_usable(), "{}", old.inspect());
    let grammars = Model::new().with("zh_itn_tagger.fst", "x").inspect();
    assert_eq!(grammars.family, Family::TextNormalization);
    assert_eq!(grammars.problems[0].file, "verbalizer.fst");
}

#[test]
fn a_sentencepiece_model_can_be_the_vocabulary() {
    let pieces = |count| [&b"\x0a\x03\x0a\x01x"[..]].repeat(count).concat();
    let model = Model::new()
        .with("model_quant.onnx", fixture("sensevoice/model_quant.onnx"))
        .with("am.mvn", statistics(560))
        .with("config.yaml", FRONTEND)
        .with("chn_jpn_yue_eng_ko_spectok.bpe.model", pieces(48));
    assert!(model.inspect().is_usable(), "{}", model.inspect());
    let model = model.with("chn_jpn_yue_eng_ko_spectok.bpe.model", pieces(47));
    assert_eq!(model.inspect().problems[0].message, "47 tokens, but the network has 48 classes");
    let model = model.with("chn_jpn_yue_eng_ko_spectok.bpe.model", "\x0a");
    assert!(model.inspect().problems[0].message.contains("not a SentencePiece model"));
}

#[test]
fn recognizes_releases_of_sherpa_onnx() {
    let numbers = |count: usize| vec!["1"; count].join(",");
    let symbols = |count: usize| (0..count).map(|id| format!("t{id} {id}\n")).collect::<String>();
    let (shift, scale) = (numbers(560), numbers(560));
    let metadata = |shift: &str| {
        let model = fixture("bicif/model_quant.onnx");
        with_metadata(model, &[("vocab_size", "32"), ("neg_mean", shift), ("inv_stddev", &scale)])
    };
    let model =
        Model::new().with("model.int8.onnx", metadata(&shift)).with("tokens.txt", symbols(32));
    let found = model.inspect();
    assert!(found.is_usable(), "{found}");
    assert_eq!((found.family, found.layout), (Family::Paraformer, Layout::SherpaOnnx));
    assert_eq!(found.variant, Some(Variant::Timestamps));

    let short = Model::new().with("model.int8.onnx", metadata("1,2")).with("tokens.txt", "a 0\n");
    let messages: Vec<_> = short.inspect().problems.into_iter().map(|p| p.message).collect();
    assert_eq!(
        messages,
        [
            "`neg_mean` is for 2 values per frame, not 560",
            "1 tokens, but the network has 32 classes"
        ]
    );

    let marks = |tokens: &str| {
        let pairs = [("vocab_size", "3"), ("tokens", tokens), ("punctuations", "a|b|c|d|e|f")];
        Model::new().with("model.onnx", with_metadata(fixture("ct-punc/model.onnx"), &pairs))
    };
    assert!(marks("x|y|z").inspect().is_usable());
    assert_eq!(marks("x|y|z").inspect().layout, Layout::SherpaOnnx);
    assert_eq!(marks("x|y").inspect().problems.len(), 1);
}

/// The vocabulary of the multilingual models has a symbol without a character, number 50256.
#[test]
fn counts_the_empty_symbol_of_whisper() {
    let vocabulary = |symbols: usize, empty: usize| {
        let line =
            |symbol| if symbol == empty { "\n".into() } else { format!("symbol-{symbol}\n") };
        (0..symbols).map(line).collect::<String>()
    };
    for (symbols, empty, language) in [(51865, 50256, "multilingual"), (51864, 51864, "en")] {
        let found = Model::new()
            .with("model.bin", b"\x06\0\0\0\x0c\x00WhisperSpec\0\x03\0\0\0\0\0\0\0")
            .with("vocabulary.txt", vocabulary(symbols, empty))
            .inspect();
        assert_eq!(found.vocabulary, Some(symbols as u64));
        assert_eq!(found.languages, [language]);
    }
}

#[test]
fn reports_missing_files_with_a_remedy() {
    for missing in ["am.mvn", "config.yaml", "tokens.json", "model_eb.onnx"] {
        let found = paraformer("seaco", "SeacoParaformer").without(missing).inspect();
        assert_eq!(found.family, Family::Paraformer, "{missing}");
        assert_eq!(found.problems.len(), 1, "{found}");
        let problem = &found.problems[0];
        assert_eq!(problem.file, missing);
        assert!(problem.message.starts_with("missing"), "{problem:?}");
        assert!(problem.remedy.contains("pull"), "{problem:?}");
    }
    let found = paraformer("paraformer", "Paraformer").without("model_quant.onnx").inspect();
    assert_eq!(found.problems[0].file, "model_quant.onnx or model.onnx");
}

#[test]
fn reports_files_that_do_not_fit() {
    let good = || paraformer("paraformer", "Paraformer");
    for (model, file, message) in [
        (good().with("am.mvn", statistics(400)), "am.mvn", "for 400 values per frame"),
        (good().with("am.mvn", "<AddShift> 1 [ nan ] <Rescale> 1 [ 1 ]"), "am.mvn", "finite"),
        (good().with("am.mvn", "{}"), "am.mvn", "<AddShift>"),
        (good().with("tokens.json", tokens(31)), "tokens.json", "31 tokens"),
        (good().with("tokens.json", tokens(33)), "tokens.json", "33 tokens"),
        (good().with("tokens.json", "[]"), "tokens.json", "no tokens"),
        (good().with("tokens.json", "{"), "tokens.json", "not a list of tokens"),
        (good().with("tokens.json", b"\xff"), "tokens.json", "cannot be read"),
        (good().with("config.yaml", "model: [}"), "config.yaml", "not a model's configuration"),
        (good().with("config.yaml", "model: Paraformer"), "config.yaml", "frontend_conf"),
        (good().with("model_quant.onnx", "x"), "model_quant.onnx", "not an ONNX model"),
        (
            good().with("model_quant.onnx", fixture("ct-punc/model.onnx")),
            "model_quant.onnx",
            "a ct-transformer network, but the other files belong to a paraformer model",
        ),
        (
            good().with("model_quant.onnx", fixture("seaco/model_eb.onnx")),
            "model_quant.onnx",
            "not a paraformer network",
        ),
        (
            good().with("config.yaml", format!("model: SeacoParaformer\n{FRONTEND}")),
            "config.yaml",
            "states a model with hotwords",
        ),
        (
            punctuation().with("config.yaml", "model: CTTransformer\npunc_list: [a, b]"),
            "config.yaml",
            "2 punctuation marks, but the network has 6 classes",
        ),
        (punctuation().with("config.yaml", "model: CTTransformer"), "config.yaml", "punc_list"),
    ] {
        let found = model.inspect();
        assert_eq!(found.problems.len(), 1, "{message}: {found}");
        assert_eq!(found.problems[0].file, file, "{found}");
        assert!(found.problems[0].message.contains(message), "{found}");
        assert!(!found.problems[0].remedy.is_empty() && !found.is_usable());
    }
}

#[test]
fn networks_must_have_usual_names() {
    let model = fixture("paraformer/model_quant.onnx");
    let named = paraformer("paraformer", "Paraformer").without("model_quant.onnx");
    let found = named.with("best.onnx", &model).inspect();
    assert_eq!(found.problems.len(), 1, "{found}");
    assert!(found.problems[0].remedy.contains("rename it to model.onnx"), "{found}");
    // Any network will do, because weights are not read.
    let speakers = |name| {
        let graph = speaker_network();
        Model::new().with("configuration.json", "{}").with(name, graph)
    };
    let found = speakers("3dspeaker_campplus.onnx").inspect();
    assert!(found.is_usable(), "{found}");
    assert_eq!(found.family, Family::CamPlusPlus);
    let checkpoint = Model::new().with("campplus_cn_common.bin", "weights").inspect();
    assert_eq!((checkpoint.family, checkpoint.is_usable()), (Family::CamPlusPlus, false));
    assert!(checkpoint.problems[0].remedy.contains("models convert"), "{checkpoint}");
    let several = speakers("a.onnx").with("b.onnx", speaker_network());
    assert!(several.inspect().problems[0].message.contains("one of 2 networks"));
    assert!(several.with("model.onnx", speaker_network()).inspect().is_usable());
}

/// Returns a graph of one node between `feature` [1, 80] and `embedding` [1, 192].
fn speaker_network() -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let mut field = vec![number << 3 | 2, bytes.len() as u8];
        field.extend(bytes);
        field
    };
    let port = |number, name: &str, width: u8| {
        // Each size as a varint of two bytes.
        let sizes = [1, width].map(|size: u8| field(1, &[8, size | 0x80, size >> 7]));
        let shape = field(2, &sizes.concat());
        let kind = field(2, &field(1, &shape));
        field(number, &[field(1, name.as_bytes()), kind].concat())
    };
    let node = field(1, &field(4, b"Gemm"));
    field(7, &[node, port(11, "feature", 80), port(12, "embedding", 192)].concat())
}

#[test]
fn recognizes_segmentations_of_speakers() {
    let released = |name: &str, metadata: &[(&str, &str)]| {
        Model::new().with(name, with_metadata(segmentation_network(), metadata))
    };
    let metadata = [("num_speakers", "3"), ("powerset_max_classes", "2"), ("num_classes", "7")];
    let model = released("model.onnx", &metadata).with("README.md", "a release");
    let found = model.inspect();
    assert!(found.is_usable(), "{found}");
    assert_eq!(found.family, Family::PyannoteSegmentation);
    assert_eq!((found.layout, found.vocabulary), (Layout::SherpaOnnx, None));
    // The weights of the fixture are f16.
    assert_eq!(found.weight_formats, [WeightFormat::F16]);
    assert!(released("segmentation.onnx", &metadata).inspect().is_usable());

    let other = [("powerset_max_classes", "2"), ("window_size", "80000")];
    let found = released("model.onnx", &other).inspect();
    assert_eq!(found.problems.len(), 1, "{found}");
    assert!(found.problems[0].message.contains("`window_size` is 80000"), "{found}");
}

/// Returns a graph of one node between `x` [1, 1, 100] and `y` [1, 1, 7], and a weight of f16.
fn segmentation_network() -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, bytes.len() as u8], bytes].concat();
    let port = |number, name: &str, width: u8| {
        let sizes = [1, 1, width].map(|size: u8| field(1, &[8, size]));
        let kind = field(2, &field(1, &field(2, &sizes.concat())));
        field(number, &[field(1, name.as_bytes()), kind].concat())
    };
    // dims: 1, data_type: FLOAT16
    let weight = field(5, &[8, 1, 16, 10]);
    let node = field(1, &field(4, b"Conv"));
    field(7, &[node, weight, port(11, "x", 100), port(12, "y", 7)].concat())
}

#[test]
fn names_unsupported_models() {
    let streaming = Model::new()
        .with("config.yaml", "model: ParaformerStreaming")
        .with("model_quant.onnx", "x")
        .error();
    assert!(streaming.contains("ParaformerStreaming"), "{streaming}");
    let contextual = paraformer("seaco", "ContextualParaformer").error();
    assert!(contextual.contains("only SeACo"), "{contextual}");
    let broken = Model::new().with("model.onnx", "x").error();
    assert!(broken.contains("model.onnx: not an ONNX model"), "{broken}");
    let other = Model::new().with("model.onnx", fixture("seaco/model_eb.onnx")).error();
    assert!(other.contains("unknown family"), "{other}");
    assert!(Model::new().error().contains("neither model.bin"));
    assert!(inspect(Path::new("/nowhere/at/all")).is_err());
}

#[test]
fn reads_formats_of_whisper_weights() {
    let model = |kind: u8, length: u32| {
        let mut bytes = vec![6, 0, 0, 0];
        bytes.extend(b"\x0c\x00WhisperSpec\0\x03\0\0\0\x01\0\0\0\x02\0w\0\x01\x04\0\0\0");
        bytes.push(kind);
        bytes.extend(length.to_le_bytes());
        bytes.extend(vec![0; length as usize]);
        Model::new()
            .with("model.bin", bytes)
            .with("config.json", "{}")
            .with("tokenizer.json", "{}")
            .with("vocabulary.txt", "a\n".repeat(51865))
    };
    for (kind, format) in [
        (0, WeightFormat::F32),
        (1, WeightFormat::Int8),
        (4, WeightFormat::F16),
        (5, WeightFormat::Bf16),
    ] {
        let found = model(kind, 8).inspect();
        assert!(found.is_usable(), "{found}");
        assert_eq!((found.family, found.weight_formats), (Family::Whisper, vec![format]));
        assert_eq!(found.languages, ["multilingual"]);
    }
    let other = model(0, 8).with("model.bin", "GGUF and more").inspect();
    assert!(other.problems[0].message.contains("not CTranslate2's format"), "{other}");
    let short = model(0, 8).with("model.bin", "\x06\0\0\0\x0c\0Whisp").inspect();
    assert!(short.problems[0].message.contains("truncated"), "{short}");
    let english = model(0, 8).with("vocabulary.txt", "a\n".repeat(51864)).inspect();
    assert_eq!(english.languages, ["en"]);
}

#[test]
fn prints_text_and_json() {
    let found = paraformer("bicif", "BiCifParaformer").without("tokens.json").inspect();
    let text = found.to_string();
    for part in
        ["paraformer (timestamps), funasr layout, not ready", "int8", "921.1 kB", "tokens.json"]
    {
        assert!(text.contains(part), "{text}");
    }
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["family"], "paraformer");
    assert_eq!(json["variant"], "timestamps");
    assert_eq!(json["layout"], "funasr");
    assert_eq!(json["precisions"][0], "int8");
    assert_eq!(json["problems"][0]["file"], "tokens.json");
    assert_eq!(json["files"][0]["name"], "am.mvn");
}
