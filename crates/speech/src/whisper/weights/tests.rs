//! Tests of reading `model.bin`, with files written here.

use super::*;
use errors::Chain;

/// Writes files in CTranslate2's format.
struct Writer(Vec<u8>);

impl Writer {
    fn new(version: u32, spec: &str, revision: u32, arrays: u32) -> Self {
        let file = Self(version.to_le_bytes().to_vec());
        file.string(spec).number(revision).number(arrays)
    }

    fn string(mut self, text: &str) -> Self {
        self.0.extend((text.len() as u16 + 1).to_le_bytes());
        self.0.extend(text.bytes().chain([0]));
        self
    }

    fn number(mut self, number: u32) -> Self {
        self.0.extend(number.to_le_bytes());
        self
    }

    fn array(mut self, name: &str, shape: &[u32], kind: u8, values: &[u8]) -> Self {
        self = self.string(name);
        self.0.push(shape.len() as u8);
        for &dim in shape {
            self = self.number(dim);
        }
        self.0.push(kind);
        self = self.number(values.len() as u32);
        self.0.extend(values);
        self
    }

    fn open(&self) -> Result<Weights, String> {
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), &self.0).expect("write");
        Weights::open(file.path()).map_err(|error| {
            let Error::Model { path, .. } = &error else {
                panic!("the error does not name the file")
            };
            assert_eq!(path, file.path());
            Chain(&error).to_string()
        })
    }
}

fn one(name: &str, shape: &[u32], kind: u8, values: &[u8]) -> Writer {
    Writer::new(6, SPEC, 3, 1).array(name, shape, kind, values)
}

fn le(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[test]
fn all_types_are_read() {
    let file = Writer::new(6, SPEC, 3, 11)
        .array("f32", &[2], 0, &le(&[1.5, -2.0]))
        .array("f16", &[2], 4, &[0x00, 0x3e, 0x00, 0xc0])
        .array("bf16", &[2], 5, &[0xc0, 0x3f, 0x00, 0xc0])
        .array("i8", &[2, 2], 1, &[3, 0xfc, 5, 6])
        .array("i8_scale", &[2], 0, &le(&[2.0, 4.0]))
        .array("i16", &[2], 2, &[0xdc, 0x05, 0x30, 0xf8])
        .array("one_scale", &[2], 2, &[3, 0, 0xfc, 0xff])
        .array("one_scale_scale", &[], 0, &le(&[2.0]))
        .array("heads", &[], 2, &[6, 0])
        .array("activation", &[], 1, &[3])
        .array("index", &[], 3, &[0xff; 4])
        .number(1)
        .string("alias")
        .string("i8");
    let weights = file.open().expect("opens");
    for name in ["f32", "f16", "bf16", "i16", "one_scale"] {
        assert_eq!(weights.floats(name, &[2]).expect(name), [1.5, -2.0], "{name}");
    }
    for name in ["i8", "alias"] {
        assert_eq!(weights.floats(name, &[2, 2]).expect(name), [1.5, -2.0, 1.25, 1.5], "{name}");
        let matrix = weights.matrix(name, [2, 2]).expect(name);
        let (values, scales) = (vec![3, -4, 5, 6], vec![2.0, 4.0]);
        assert_eq!(matrix, Matrix::Int8 { values, scales }, "{name}");
        assert_eq!(matrix.into_floats(), [1.5, -2.0, 1.25, 1.5], "{name}");
    }
    assert!(weights.same("i8", "alias").is_ok_and(|same| same));
    assert!(weights.same("i8", "i16").is_ok_and(|same| !same));
    assert_eq!(weights.integer("heads").expect("heads"), Some(6));
    assert_eq!(weights.integer("activation").expect("activation"), Some(3));
    assert_eq!(weights.integer("index").expect("index"), Some(-1));
    assert_eq!(weights.integer("nothing").expect("nothing"), None);
    assert!(weights.integer("f32").is_err(), "an array of two numbers");
    assert!(weights.integer("one_scale_scale").is_err(), "a float");
    assert!(weights.floats("f32", &[3]).is_err(), "another shape");
    assert!(weights.floats("nothing", &[3]).is_err(), "a missing array");
    assert!(weights.floats("index", &[]).is_err(), "an array of integers");
}

#[test]
fn a_truncated_file_is_an_error() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/whisper/int8/model.bin");
    let whole = std::fs::read(path).expect("the miniature");
    for length in (0..300).chain((300..whole.len()).step_by(997)).chain([whole.len() - 1]) {
        let message = Writer(whole[..length].to_vec()).open().err().expect("an error");
        assert!(message.contains("ends too early"), "{length}: {message}");
    }
    Writer(whole).open().expect("the whole file");
}

#[test]
fn errors_name_the_cause() {
    let float = le(&[1.0]);
    let wrong = [
        (Writer::new(7, SPEC, 3, 0).number(0), "binary version 7"),
        (Writer::new(3, SPEC, 3, 0).number(0), "binary version 3"),
        (Writer::new(6, "TransformerSpec", 3, 0).number(0), "`TransformerSpec` of revision 3"),
        (Writer::new(6, SPEC, 4, 0).number(0), "revision 4"),
        (Writer(b"\x06\0\0\0\x02\0ab".to_vec()), "closing NUL"),
        (Writer(b"\x06\0\0\0\x02\0\xff\0".to_vec()), "UTF-8"),
        (Writer(b"\x06\0\0\0\0\0".to_vec()), "closing NUL"),
        (one("x", &[1], 6, &float), "unknown type 6"),
        (one("x", &[2], 0, &float), "`x` of shape [2] cannot have 4 bytes"),
        (one("x", &[u32::MAX; 3], 0, &float), "cannot have 4 bytes"),
        (one("x", &[1], 0, &float).number(0).number(0), "4 bytes after the end"),
        (one("x", &[1], 0, &float).number(1).string("y").string("z"), "an alias of `z`"),
        (Writer::new(6, SPEC, 3, u32::MAX), "ends too early"),
        (
            Writer::new(6, SPEC, 3, 2).array("x", &[1], 0, &float).array("x", &[1], 0, &float),
            "`x` occurs twice",
        ),
    ];
    for (file, expected) in wrong {
        let message = file.open().err().expect(expected);
        assert!(message.contains(expected), "{message}");
    }
    let missing = Weights::open(Path::new("/nowhere/model.bin")).err().expect("no file");
    assert!(missing.to_string().contains("/nowhere/model.bin"), "{missing}");
}

#[test]
fn broken_scales_are_errors() {
    let with_scale = |shape: &[u32], scales: &[f32]| {
        let file = Writer::new(6, SPEC, 3, 2).array("x", &[2, 1], 1, &[1, 2]);
        file.array("x_scale", shape, 0, &le(scales)).number(0).open().expect("opens")
    };
    assert!(with_scale(&[2], &[1.0, 1.0]).matrix("x", [2, 1]).is_ok());
    assert!(with_scale(&[3], &[1.0; 3]).matrix("x", [2, 1]).is_err(), "three for two rows");
    assert!(with_scale(&[2], &[1.0, 0.0]).floats("x", &[2, 1]).is_err(), "zero");
    assert!(with_scale(&[2], &[1.0, f32::NAN]).floats("x", &[2, 1]).is_err(), "not a number");
    let none = one("x", &[2, 1], 1, &[1, 2]).number(0).open().expect("opens");
    assert!(none.matrix("x", [2, 1]).is_err(), "no scales");
    let empty = Writer::new(6, SPEC, 3, 2).array("x", &[0, 4], 1, &[]);
    let empty = empty.array("x_scale", &[0], 0, &[]).number(0).open().expect("opens");
    assert!(empty.floats("x", &[0, 4]).is_ok_and(|values| values.is_empty()));
}
