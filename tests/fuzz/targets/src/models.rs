//! The files of model directories, without their networks: what inspects a directory, and what reads the
//! single files.

use std::{cell::RefCell, fs, io::Write, path::Path};

use engine::OnnxFile;
use protobuf::{Reader, Span, Value};
use speech::{
    pipeline::{TaskKey, TaskResult},
    untrusted,
};
use tempfile::TempDir;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Names that the files of an input may have.
const NAMES: [&str; 25] = [
    "config.yaml",
    "tokens.json",
    "tokens.txt",
    "am.mvn",
    "model.onnx",
    "model_quant.onnx",
    "model.int8.onnx",
    "model_eb.onnx",
    "model.bin",
    "config.json",
    "tokenizer.json",
    "vocabulary.txt",
    "vocabulary.json",
    "chn_jpn_yue_eng_ko_spectok.bpe.model",
    "vad.yaml",
    "vad.mvn",
    "punc.yaml",
    "asr.yaml",
    "asr.mvn",
    "zh_itn_tagger.fst",
    "zh_itn_verbalizer.fst",
    "campplus_cn_common.bin",
    "seg_dict",
    "other.onnx",
    "pytorch_model.bin",
];
/// Begins each file of an input; the next byte is the index of its name.
const FILE: &[u8] = b"\xffFILE";

/// A directory that is emptied and filled again for each input.
struct Directory(TempDir);

impl Directory {
    fn new() -> Self {
        // In memory, where there is a file system for that.
        let root = Path::new("/dev/shm");
        let directory = if root.is_dir() { TempDir::new_in(root) } else { TempDir::new() };
        Self(directory.unwrap_or_else(|error| panic!("{error}")))
    }

    /// Writes the files of an input, calls `read`, and deletes the files.
    fn with_files(&self, bytes: &[u8], read: impl FnOnce(&Path)) {
        let mut written = Vec::new();
        let mut rest = bytes;
        while let Some((file, after)) = next_file(rest) {
            rest = after;
            let Some((name, content)) = file.split_first() else { continue };
            let path = self.0.path().join(NAMES[usize::from(*name) % NAMES.len()]);
            fs::write(&path, content).unwrap_or_else(|error| panic!("{error}"));
            written.push(path);
        }
        read(self.0.path());
        for path in written {
            // The same name may have come twice.
            let _ = fs::remove_file(path);
        }
    }
}

/// Returns the content of the first file, and what follows.
fn next_file(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(FILE)?;
    let end = rest.windows(FILE.len()).position(|window| window == FILE);
    Some(rest.split_at(end.unwrap_or(rest.len())))
}

thread_local! {
    static DIRECTORY: RefCell<Directory> = RefCell::new(Directory::new());
}

/// Inspects a directory.
pub fn model_directory(bytes: &[u8]) {
    DIRECTORY.with_borrow(|directory| {
        directory.with_files(bytes, |path| {
            let Ok(inspection) = models::inspect(path) else { return };
            assert!(inspection.files.len() <= NAMES.len());
            for problem in &inspection.problems {
                assert!(!problem.message.is_empty() && !problem.remedy.is_empty());
            }
            let opened = models::ModelDirectory::recognize(path);
            assert_eq!(opened.is_ok(), inspection.is_usable());
        });
    });
}

/// Reads the configurations, vocabularies, statistics and weights in a directory.
pub fn model_files(bytes: &[u8]) {
    DIRECTORY.with_borrow(|directory| directory.with_files(bytes, untrusted::read_files));
}

/// Reads a grammar, and rewrites texts with it.
pub fn grammar(bytes: &[u8]) {
    for text in ["", "a", "二零二六年十一月", "twenty one point five"] {
        let Some(output) = untrusted::transduce(bytes, text.as_bytes()) else { return };
        // Each arc of the path writes a byte, and no path passes a state twice at one place of the text.
        assert!(output.len() <= bytes.len() * (text.len() + 1));
    }
}

/// Reads the graph of an ONNX file.
pub fn onnx(bytes: &[u8]) {
    let Ok(file) = OnnxFile::parse("model.onnx".as_ref(), bytes) else { return };
    assert!(file.inputs().len() + file.outputs().len() <= bytes.len());
    for node in file.nodes().iter().take(20) {
        for output in node.outputs() {
            assert!(file.upstream(output).len() <= file.nodes().len());
            assert!(file.downstream(output).len() <= file.nodes().len());
        }
    }
}

/// Reads a protobuf message and the messages in it.
pub fn protobuf(bytes: &[u8]) {
    let mut reader = Reader::from_slice(bytes);
    let input = reader.input();
    assert_eq!(input.len(), bytes.len() as u64);
    let mut fields = 0;
    walk(&mut reader, &input, 8, &mut fields);
}

fn walk(
    reader: &mut Reader<std::io::Cursor<&[u8]>>,
    message: &Span,
    levels: usize,
    fields: &mut usize,
) {
    let mut rest = message.clone();
    while let Ok(Some(field)) = reader.next_field(&mut rest) {
        *fields += 1;
        assert!(field.range.start >= message.range().start, "a field outside of its message");
        assert!(field.range.end <= message.range().end, "a field outside of its message");
        assert!(field.range.start < field.range.end, "a field without bytes");
        let Value::Bytes(content) = field.value else { continue };
        assert!(content.range().end <= field.range.end);
        let read = reader.bytes(&content, 1 << 20).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(read.len() as u64, content.len());
        if !content.is_empty() {
            assert!(reader.bytes(&content, content.len() - 1).is_err(), "the limit is exceeded");
        }
        let mut packed = content.clone();
        while let Ok(Some(_)) = reader.next_varint(&mut packed) {}
        if levels > 0 && *fields < 10_000 {
            walk(reader, &content, levels - 1, fields);
        }
    }
}

/// Reads a PyTorch checkpoint whose pickle these bytes are.
pub fn pickle(bytes: &[u8]) {
    DIRECTORY.with_borrow(|directory| {
        let path = directory.0.path().join("campplus_cn_common.bin");
        let archive = archive(bytes).unwrap_or_else(|error| panic!("{error}"));
        fs::write(&path, archive).unwrap_or_else(|error| panic!("{error}"));
        let converted = models::convert(directory.0.path());
        fs::remove_file(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(converted.is_err(), "a whole speaker model in {} bytes", bytes.len());
    });
}

fn archive(pickle: &[u8]) -> zip::result::ZipResult<Vec<u8>> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in [("data.pkl", pickle), ("data/0", &[1; 64]), ("data/1", &[0; 64])] {
        writer.start_file(format!("model/{name}"), stored)?;
        writer.write_all(content)?;
    }
    Ok(writer.finish()?.into_inner())
}

/// Reads a window of a checkpoint.
pub fn window(bytes: &[u8]) {
    if let Ok(key) = serde_json::from_slice::<TaskKey>(bytes) {
        assert!(key.audio_seconds() >= 0.0 && key.audio_seconds().is_finite());
        let written = serde_json::to_vec(&key).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(serde_json::from_slice::<TaskKey>(&written).ok(), Some(key));
    }
    if let Ok(result) = serde_json::from_slice::<TaskResult>(bytes) {
        // As text: a time may be NaN, which is not equal to itself.
        let written = serde_json::to_string(&result).unwrap_or_else(|error| panic!("{error}"));
        let read = serde_json::from_str::<TaskResult>(&written);
        let read = read.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(serde_json::to_string(&read).ok(), Some(written));
    }
}
