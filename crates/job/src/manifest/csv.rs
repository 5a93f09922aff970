//! Rows of CSV (RFC 4180). csv-core finds the fields, within the limit for a row: a quotation mark that
//! is not closed must not hold the rest of a file in memory.

use std::io::{self, BufRead};

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::{
    Entry, InvalidRow, MAX_ROW_BYTES, ManifestError, Row,
    columns::{self, Kind},
    input::Input,
};

/// Limit for the fields of a row, far beyond the number of columns that there are.
const MAX_FIELDS: usize = 1024;

#[derive(Debug)]
pub(super) struct Csv {
    reader: Reader,
    columns: Vec<Column>,
    /// The fields of the latest row, one after the other.
    text: Vec<u8>,
    /// The end of each field in `text`.
    ends: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Source,
    Output,
    Option(&'static str, Kind),
}

/// What was read.
enum Record {
    /// This many fields.
    Fields(usize),
    TooLong,
    OpenQuote,
    End,
}

impl Csv {
    /// Reads the header.
    pub(super) fn new<R: BufRead>(input: &mut Input<R>) -> Result<Self, ManifestError> {
        let delimiter = delimiter(input.first_line());
        let mut csv = Self {
            reader: ReaderBuilder::new().delimiter(delimiter).build(),
            columns: Vec::new(),
            text: vec![0; 4096],
            ends: vec![0; 64],
        };
        csv.begin();
        let unusable = |message: String| ManifestError::Unusable(message);
        let (_, record) = csv.read(input)?;
        let Record::Fields(count) = record else {
            return Err(unusable(
                "the manifest has no header: a row with the column `source`".into(),
            ));
        };
        for index in 0..count {
            let name = str::from_utf8(csv.field(index)).map(str::trim);
            let name = name.map_err(|_| unusable("the header is not UTF-8".to_owned()))?;
            let column = Column::named(name).ok_or_else(|| {
                let known = columns::OPTIONS.iter().map(|option| option.0).collect::<Vec<_>>();
                unusable(format!(
                    "there is no column {name:?}; known are source, output, {}",
                    known.join(", ")
                ))
            })?;
            if csv.columns.contains(&column) {
                return Err(unusable(format!("there are two columns {name:?}")));
            }
            csv.columns.push(column);
        }
        if !csv.columns.contains(&Column::Source) {
            return Err(unusable("the header has no column `source`".to_owned()));
        }
        Ok(csv)
    }

    pub(super) fn next_row<R: BufRead>(
        &mut self,
        input: &mut Input<R>,
    ) -> io::Result<Option<Entry>> {
        let (line, record) = self.read(input)?;
        let row = match record {
            Record::End => return Ok(None),
            Record::OpenQuote => Err(InvalidRow::OpenQuote),
            Record::TooLong => Err(InvalidRow::TooLong {
                until: Some(input.line.saturating_sub(1)).filter(|until| *until > line),
            }),
            Record::Fields(count) => self.row(count),
        };
        Ok(Some(Entry { line, row }))
    }

    fn row(&self, count: usize) -> Result<Row, InvalidRow> {
        let expected = self.columns.len();
        if count != expected {
            return Err(InvalidRow::Fields { found: count, expected });
        }
        let mut row = Row::default();
        for (index, column) in self.columns.iter().enumerate() {
            let cell = str::from_utf8(self.field(index)).map_err(|_| InvalidRow::NotUtf8)?;
            match column {
                // Literal: a key may begin with a space.
                Column::Source => cell.clone_into(&mut row.source),
                Column::Output => {
                    row.output = Some(cell.to_owned()).filter(|cell| !cell.is_empty())
                }
                Column::Option(name, kind) => {
                    let cell = cell.trim();
                    if !cell.is_empty() {
                        let value = kind.value(cell).map_err(|reason| InvalidRow::Option {
                            name: (*name).to_owned(),
                            reason,
                        })?;
                        row.options.insert((*name).to_owned(), value);
                    }
                }
            }
        }
        if row.source.is_empty() { Err(InvalidRow::NoSource) } else { Ok(row) }
    }

    fn field(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[index]]
    }

    /// Makes the reader expect the beginning of a record.
    fn begin(&mut self) {
        self.reader.reset();
        // Otherwise the reader would leave out a byte order mark at the beginning of any record, unless
        // the mark is divided between two buffers. `Input` leaves out the one of the file.
        self.reader.read_record(b"\n", &mut [0], &mut [0]);
    }

    /// Reads the next record, and returns the line where it begins.
    fn read<R: BufRead>(&mut self, input: &mut Input<R>) -> io::Result<(u64, Record)> {
        while let Some(b'\r' | b'\n') = input.peek()?.first() {
            input.take(1)?;
        }
        let line = input.line;
        let (mut length, mut count) = (0, 0);
        loop {
            let bytes = input.peek()?;
            // An end of the line in place of the end of the file: whatever it does not end is in quotes.
            let is_end = bytes.is_empty();
            let bytes = if is_end { b"\n" } else { bytes };
            let (result, read, written, ended) =
                self.reader.read_record(bytes, &mut self.text[length..], &mut self.ends[count..]);
            if !is_end {
                input.take(read)?;
            }
            length += written;
            count += ended;
            match result {
                ReadRecordResult::Record => return Ok((line, Record::Fields(count))),
                ReadRecordResult::InputEmpty if is_end && length + count > 0 => {
                    self.begin();
                    return Ok((line, Record::OpenQuote));
                }
                ReadRecordResult::InputEmpty if is_end => return Ok((line, Record::End)),
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if length < MAX_ROW_BYTES => {
                    self.text.resize((2 * self.text.len()).min(MAX_ROW_BYTES), 0);
                }
                ReadRecordResult::OutputEndsFull if count < MAX_FIELDS => {
                    self.ends.resize((2 * self.ends.len()).min(MAX_FIELDS), 0);
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    // Goes on in the next line, whatever it belongs to.
                    self.begin();
                    input.read_line(&mut vec![0; MAX_ROW_BYTES])?;
                    return Ok((line, Record::TooLong));
                }
                ReadRecordResult::End => return Ok((line, Record::End)),
            }
        }
    }
}

impl Column {
    fn named(name: &str) -> Option<Self> {
        match name {
            "source" => Some(Self::Source),
            "output" => Some(Self::Output),
            _ => columns::OPTIONS
                .iter()
                .find(|option| option.0 == name)
                .map(|(name, kind)| Self::Option(name, *kind)),
        }
    }
}

/// Returns the delimiter of a header: no name of a column contains any.
fn delimiter(header: &[u8]) -> u8 {
    *[b',', b';', b'\t'].iter().find(|delimiter| header.contains(delimiter)).unwrap_or(&b',')
}
