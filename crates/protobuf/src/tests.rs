//! Properties of the reader: it reads what was written, and no bytes make it read or allocate more
//! than there is.

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

/// A field to write, with the value that is expected back.
#[derive(Debug, Clone)]
enum Written {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    Bytes(Vec<u8>),
    Message(Vec<(u32, Written)>),
}

fn written() -> impl Strategy<Value = Vec<(u32, Written)>> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(Written::Varint),
        any::<[u8; 4]>().prop_map(Written::Fixed32),
        any::<[u8; 8]>().prop_map(Written::Fixed64),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(Written::Bytes),
    ];
    let number = 1_u32..=(1 << 29) - 1;
    let field = leaf.prop_recursive(4, 64, 6, move |inner| {
        prop::collection::vec((number.clone(), inner), 0..6).prop_map(Written::Message)
    });
    prop::collection::vec((1_u32..=(1 << 29) - 1, field), 0..8)
}

fn encode(fields: &[(u32, Written)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, value) in fields {
        let key = u64::from(*number) << 3;
        match value {
            Written::Varint(value) => {
                write_varint(&mut out, key);
                write_varint(&mut out, *value);
            }
            Written::Fixed64(bytes) => {
                write_varint(&mut out, key | 1);
                out.extend(bytes);
            }
            Written::Fixed32(bytes) => {
                write_varint(&mut out, key | 5);
                out.extend(bytes);
            }
            Written::Bytes(bytes) => write_bytes(&mut out, *number, bytes),
            Written::Message(fields) => write_bytes(&mut out, *number, &encode(fields)),
        }
    }
    out
}

fn assert_reads<R: Read + Seek>(
    reader: &mut Reader<R>,
    message: &mut Span,
    fields: &[(u32, Written)],
) {
    for (number, value) in fields {
        let before = message.range().start;
        let field = reader.next_field(message).unwrap().unwrap();
        assert_eq!(field.number, u64::from(*number));
        assert_eq!(field.range, before..message.range().start, "fields follow one another");
        match (value, field.value) {
            (Written::Varint(expected), Value::Varint(found)) => assert_eq!(found, *expected),
            (Written::Fixed32(_) | Written::Fixed64(_), Value::Fixed) => {}
            (Written::Bytes(expected), Value::Bytes(span)) => {
                assert_eq!(reader.bytes(&span, 300).unwrap(), *expected);
            }
            (Written::Message(fields), Value::Bytes(mut span)) => {
                assert_reads(reader, &mut span, fields);
            }
            (expected, found) => panic!("{expected:?}, but found {found:?}"),
        }
    }
    assert_eq!(reader.next_field(message).unwrap(), None);
}

/// Walks a message and everything in it that could be a message; returns the number of fields.
fn walk<R: Read + Seek>(reader: &mut Reader<R>, message: &mut Span, depth: usize) -> usize {
    let mut fields = 0;
    let whole = message.range();
    let mut end = whole.start;
    while let Ok(Some(field)) = reader.next_field(message) {
        fields += 1;
        assert!(field.number > 0);
        assert!(field.range.start == end && field.range.end <= whole.end && end < field.range.end);
        end = field.range.end;
        if let Value::Bytes(mut content) = field.value {
            assert!(content.range().end == field.range.end);
            assert!(field.range.start < content.range().start);
            if depth > 0 {
                fields += walk(reader, &mut content, depth - 1);
            }
        }
    }
    fields
}

/// Counts the bytes that are read.
struct Counted(Cursor<Vec<u8>>, Rc<Cell<u64>>);

impl Read for Counted {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(to)?;
        self.1.set(self.1.get() + count as u64);
        Ok(count)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

proptest! {
    #[test]
    fn reads_what_was_written(fields in written()) {
        let bytes = encode(&fields);
        let mut reader = Reader::from_slice(&bytes);
        let mut input = reader.input();
        assert_reads(&mut reader, &mut input, &fields);

        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let mut reader = Reader::open(file.path()).unwrap();
        let mut input = reader.input();
        assert_reads(&mut reader, &mut input, &fields);

        // A buffer that is smaller than most fields.
        let mut reader = Reader::new(BufReader::with_capacity(3, Cursor::new(&bytes))).unwrap();
        let mut input = reader.input();
        assert_reads(&mut reader, &mut input, &fields);
    }

    #[test]
    fn whole_fields_can_be_copied(fields in written()) {
        let bytes = encode(&fields);
        let mut reader = Reader::from_slice(&bytes);
        let (mut input, mut copy) = (reader.input(), Vec::new());
        while let Some(field) = reader.next_field(&mut input).unwrap() {
            reader.append(field.range, &mut copy).unwrap();
        }
        prop_assert_eq!(copy, bytes);
    }

    #[test]
    fn a_truncated_message_is_an_error_or_has_fewer_fields(
        fields in written(),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = encode(&fields);
        prop_assume!(!bytes.is_empty());
        let mut reader = Reader::from_slice(&bytes[..cut.index(bytes.len())]);
        let (mut input, mut found) = (reader.input(), 0);
        let result = loop {
            match reader.next_field(&mut input) {
                Ok(Some(_)) => found += 1,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        prop_assert!(found < fields.len());
        if let Err(error) = result {
            prop_assert!(matches!(error, Error::Truncated { .. }), "{}", error);
        }
    }

    #[test]
    fn no_bytes_make_it_leave_the_message(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut reader = Reader::from_slice(&bytes);
        let mut input = reader.input();
        prop_assert!(walk(&mut reader, &mut input, 3) <= 4 * bytes.len());
    }

    #[test]
    fn damaged_messages_do_no_harm(
        fields in written(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = encode(&fields);
        prop_assume!(!bytes.is_empty());
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        let mut reader = Reader::from_slice(&bytes);
        let mut input = reader.input();
        walk(&mut reader, &mut input, 5);
    }

    #[test]
    fn contents_are_read_only_when_asked_for(
        sizes in prop::collection::vec(1_usize..100_000, 1..5),
    ) {
        let mut bytes = Vec::new();
        sizes.iter().for_each(|&size| write_bytes(&mut bytes, 9, &vec![7; size]));
        let count = Rc::new(Cell::new(0));
        let mut reader = Reader::new(Counted(Cursor::new(bytes), Rc::clone(&count))).unwrap();
        let mut input = reader.input();
        while reader.next_field(&mut input).unwrap().is_some() {}
        // One byte for the key, at most three for the length.
        prop_assert!(count.get() <= 4 * sizes.len() as u64, "{} bytes read", count.get());
    }
}

fn first(bytes: &[u8]) -> Result<Option<Field>, Error> {
    let mut reader = Reader::from_slice(bytes);
    let mut input = reader.input();
    reader.next_field(&mut input)
}

#[test]
fn malformed_fields_are_errors() {
    assert!(matches!(first(b"\x03"), Err(Error::WireType { wire_type: 3, at: 0 })));
    assert!(matches!(first(b"\x0e"), Err(Error::WireType { wire_type: 6, .. })));
    assert!(matches!(first(b"\x00\x00"), Err(Error::FieldZero { at: 0 })));
    assert!(matches!(first(b"\x08"), Err(Error::Truncated { at: 1, needed: 1, left: 0 })));
    assert!(matches!(
        first(b"\x09\0\0\0\0\0\0\0"),
        Err(Error::Truncated { needed: 8, left: 7, .. })
    ));
    assert!(matches!(first(b"\x0d\0\0\0"), Err(Error::Truncated { needed: 4, left: 3, .. })));
    assert!(matches!(first(&[0xff; 30]), Err(Error::LongVarint { at: 0 })));
    // A length that would overflow any sum.
    let endless = b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
    assert!(matches!(first(endless), Err(Error::Truncated { needed: u64::MAX, left: 0, .. })));
    assert_eq!(first(b"").unwrap(), None);
}

#[test]
fn limits_are_checked_before_anything_is_read() {
    let mut bytes = Vec::new();
    write_bytes(&mut bytes, 1, b"four");
    write_bytes(&mut bytes, 2, b"\xff");
    let mut reader = Reader::from_slice(&bytes);
    let mut input = reader.input();
    let mut next = || match reader.next_field(&mut input).unwrap().unwrap().value {
        Value::Bytes(span) => span,
        other => panic!("{other:?}"),
    };
    let (text, other) = (next(), next());
    assert_eq!(reader.string(&text, 4).unwrap(), "four");
    assert!(matches!(reader.string(&text, 3), Err(Error::TooLong { at: 2, length: 4, limit: 3 })));
    assert!(matches!(reader.string(&other, 4), Err(Error::Utf8 { .. })));
    let mut copy = b"kept".to_vec();
    assert!(matches!(reader.append(3..u64::MAX, &mut copy), Err(Error::Truncated { .. })));
    assert_eq!(copy, b"kept");
}

#[test]
fn packed_varints_end_with_their_field() {
    let mut bytes = Vec::new();
    write_bytes(&mut bytes, 1, b"\x05\xac\x02");
    write_bytes(&mut bytes, 1, b"\x05\xac");
    let mut reader = Reader::from_slice(&bytes);
    let mut input = reader.input();
    let Value::Bytes(mut packed) = reader.next_field(&mut input).unwrap().unwrap().value else {
        panic!("not bytes");
    };
    assert_eq!(reader.next_varint(&mut packed).unwrap(), Some(5));
    assert_eq!(reader.next_varint(&mut packed).unwrap(), Some(300));
    assert_eq!(reader.next_varint(&mut packed).unwrap(), None);
    let Value::Bytes(mut packed) = reader.next_field(&mut input).unwrap().unwrap().value else {
        panic!("not bytes");
    };
    assert_eq!(reader.next_varint(&mut packed).unwrap(), Some(5));
    assert!(matches!(reader.next_varint(&mut packed), Err(Error::Truncated { .. })));
}

#[test]
fn a_file_that_shrinks_is_an_error() {
    let mut bytes = Vec::new();
    write_bytes(&mut bytes, 1, &[0; 100_000]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    let mut reader = Reader::open(file.path()).unwrap();
    let mut input = reader.input();
    let field = reader.next_field(&mut input).unwrap().unwrap();
    file.as_file().set_len(50_000).unwrap();
    assert!(matches!(reader.append(field.range, &mut Vec::new()), Err(Error::Io(_))));
}
