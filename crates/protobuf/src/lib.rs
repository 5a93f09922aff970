//! A bounded reader of the protobuf wire format, and the few functions that append fields.
//!
//! Model files are gigabytes of weights with a few kilobytes of structure between them. A [`Reader`]
//! reads the fields of a message in place: it seeks over contents that the caller does not read, and
//! reports the position of each field in the input. A hostile file costs no more than reading its keys
//! and lengths, because each length is checked against the enclosing message before anything is read or
//! allocated, and the caller limits the length of what it reads.
//!
//! Field numbers are up to the caller. Groups (wire types 3 and 4), which protobuf has deprecated and
//! no model file contains, are errors.
//!
//! ```
//! use protobuf::{Reader, Value, write_bytes};
//!
//! // message Person { string name = 1; }  message Team { repeated Person members = 2; }
//! let mut person = Vec::new();
//! write_bytes(&mut person, 1, b"Ada");
//! let mut team = Vec::new();
//! write_bytes(&mut team, 2, &person);
//!
//! let mut reader = Reader::from_slice(&team);
//! let mut team = reader.input();
//! while let Some(field) = reader.next_field(&mut team)? {
//!     if let (2, Value::Bytes(mut person)) = (field.number, field.value) {
//!         while let Some(field) = reader.next_field(&mut person)? {
//!             if let (1, Value::Bytes(name)) = (field.number, field.value) {
//!                 assert_eq!(reader.string(&name, 100)?, "Ada");
//!             }
//!         }
//!     }
//! }
//! # Ok::<(), protobuf::Error>(())
//! ```

mod reader;
#[cfg(test)]
mod tests;
mod write;

pub use reader::{Error, Field, Reader, Span, Value};
pub use write::{write_bytes, write_varint};
