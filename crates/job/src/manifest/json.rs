//! Rows of JSON Lines: `{"source": "...", "output": "...", "language": "en"}`. Options stand beside the
//! source, or in an object `options` as in a job message.

use std::{
    fmt,
    io::{self, BufRead},
};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::{Entry, InvalidRow, Row, columns, input::Input};

/// Reads the next row; skips empty lines.
pub(super) fn next_row<R: BufRead>(input: &mut Input<R>) -> io::Result<Option<Entry>> {
    let mut bytes = Vec::new();
    loop {
        let line = input.line;
        bytes.clear();
        let complete = input.read_line(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if !complete {
            return Ok(Some(Entry { line, row: Err(InvalidRow::TooLong { until: None }) }));
        }
        if !bytes.trim_ascii().is_empty() {
            return Ok(Some(Entry { line, row: parse(&bytes) }));
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Row, InvalidRow> {
    let text = std::str::from_utf8(bytes).map_err(|_| InvalidRow::NotUtf8)?;
    let Fields { source, output, options } =
        serde_json::from_str(text).map_err(|error| InvalidRow::Json(without_line(&error)))?;
    let source = source.ok_or(InvalidRow::NoSource)?;
    Ok(Row { source, output, options })
}

/// Returns the error's text without its line, which is always 1: the reader knows the line.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let column = format!(" (column {})", error.column());
    text.strip_suffix(&position).map_or(text.clone(), |text| format!("{text}{column}"))
}

#[derive(Default)]
struct Fields {
    source: Option<String>,
    output: Option<String>,
    options: Map<String, Value>,
}

impl Fields {
    fn add<E: de::Error>(&mut self, name: String, value: Value) -> Result<(), E> {
        if !columns::is_option(&name) {
            let known = columns::OPTIONS.iter().map(|option| option.0).collect::<Vec<_>>();
            return Err(E::custom(format_args!(
                "there is no field or option {name:?}; known are source, output, options, {}",
                known.join(", ")
            )));
        }
        if self.options.contains_key(&name) {
            return Err(E::custom(format_args!("{name:?} is given twice")));
        }
        self.options.insert(name, value);
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a `source`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::default();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "source" => once(&mut fields.source, &name, map.next_value()?)?,
                "output" => {
                    // `null` is the absence of the field.
                    if let Some(output) = map.next_value::<Option<String>>()? {
                        once(&mut fields.output, &name, output)?;
                    }
                }
                "options" => {
                    for (name, value) in map.next_value::<Options>()?.0 {
                        fields.add(name, value)?;
                    }
                }
                _ => fields.add(name, map.next_value()?)?,
            }
        }
        Ok(fields)
    }
}

fn once<E: de::Error>(field: &mut Option<String>, name: &str, value: String) -> Result<(), E> {
    match field.replace(value) {
        Some(_) => Err(E::custom(format_args!("{name:?} is given twice"))),
        None => Ok(()),
    }
}

/// The members of an object in their order, so that none that is given twice is lost.
struct Options(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OptionsVisitor;

        impl<'de> Visitor<'de> for OptionsVisitor {
            type Value = Options;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of options")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Options, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Options(members))
            }
        }

        deserializer.deserialize_map(OptionsVisitor)
    }
}
