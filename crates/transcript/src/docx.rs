//! Renders a document of Word (Office Open XML, ECMA-376): a title, and paragraphs with the speaker and the time.
//!
//! A document is four small files in an archive, so they are written here: the libraries for documents bring
//! tables, pictures and parsers that nobody needs for paragraphs.

use std::{
    fmt::Write as _,
    io::{self, Cursor, Write as _},
};

use zip::{CompressionMethod, DateTime, ZipWriter, write::SimpleFileOptions};

use crate::{
    Transcript,
    paragraphs::{clock, paragraphs},
    recording_name,
    xml::escape,
};

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n";
const MAIN: &str = "http://schemas.openxmlformats.org/wordprocessingml/2006/main";
const CONTENT_TYPES: &str = "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\">\
    <Default Extension=\"rels\" ContentType=\"application/vnd.openxmlformats-package.relationships+xml\"/>\
    <Default Extension=\"xml\" ContentType=\"application/xml\"/>\
    <Override PartName=\"/word/document.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml\"/>\
    <Override PartName=\"/word/styles.xml\" ContentType=\"application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml\"/>\
    <Override PartName=\"/docProps/core.xml\" ContentType=\"application/vnd.openxmlformats-package.core-properties+xml\"/>\
    </Types>";
const RELATIONSHIPS: &str = "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
    <Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" Target=\"word/document.xml\"/>\
    <Relationship Id=\"rId2\" Type=\"http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties\" Target=\"docProps/core.xml\"/>\
    </Relationships>";
const DOCUMENT_RELATIONSHIPS: &str = "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
    <Relationship Id=\"rId1\" Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles\" Target=\"styles.xml\"/>\
    </Relationships>";

pub(crate) fn render(transcript: &Transcript) -> Vec<u8> {
    let parts = [
        ("[Content_Types].xml", CONTENT_TYPES.to_owned()),
        ("_rels/.rels", RELATIONSHIPS.to_owned()),
        ("word/document.xml", document(transcript)),
        ("word/_rels/document.xml.rels", DOCUMENT_RELATIONSHIPS.to_owned()),
        ("word/styles.xml", styles(transcript)),
        ("docProps/core.xml", properties(transcript)),
    ];
    archive(&parts).expect("an archive can be written to memory")
}

/// Equal transcripts give equal bytes: the files have no times of their own.
fn archive(parts: &[(&str, String)]) -> io::Result<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in parts {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .last_modified_time(DateTime::default())
            .large_file(u32::try_from(content.len()).is_err());
        archive.start_file(*name, options)?;
        archive.write_all(XML.as_bytes())?;
        archive.write_all(content.as_bytes())?;
    }
    Ok(archive.finish()?.into_inner())
}

fn document(transcript: &Transcript) -> String {
    let mut document = format!("<w:document xmlns:w=\"{MAIN}\"><w:body>");
    let title = recording_name::display_name(&transcript.source.uri);
    let _infallible = write!(
        document,
        "<w:p><w:pPr><w:pStyle w:val=\"Title\"/></w:pPr>{}</w:p>",
        run("", &title)
    );
    if let Some(language) = &transcript.language {
        let _infallible =
            write!(document, "<w:p>{}</w:p>", run("", &format!("Language: {language}")));
    }
    for paragraph in paragraphs(transcript) {
        let voice = paragraph.voice.map(|voice| run("<w:b/>", &format!("{voice} ")));
        let time = run("<w:color w:val=\"595959\"/>", &format!("[{}] ", clock(paragraph.start)));
        let _infallible = write!(
            document,
            "<w:p>{}{time}{}</w:p>",
            voice.unwrap_or_default(),
            run("", &paragraph.text)
        );
    }
    document + "</w:body></w:document>"
}

/// Returns a text with the same properties from its beginning to its end.
fn run(properties: &str, text: &str) -> String {
    let properties = match properties {
        "" => String::new(),
        properties => format!("<w:rPr>{properties}</w:rPr>"),
    };
    format!("<w:r>{properties}<w:t xml:space=\"preserve\">{}</w:t></w:r>", escape(text))
}

fn styles(transcript: &Transcript) -> String {
    // For spell checkers.
    let language = code(transcript)
        .map(|code| format!("<w:lang w:val=\"{code}\" w:eastAsia=\"{code}\" w:bidi=\"{code}\"/>"));
    format!(
        "<w:styles xmlns:w=\"{MAIN}\"><w:docDefaults><w:rPrDefault><w:rPr><w:rFonts w:ascii=\"Calibri\" \
         w:hAnsi=\"Calibri\"/><w:sz w:val=\"22\"/>{}</w:rPr></w:rPrDefault><w:pPrDefault><w:pPr><w:spacing \
         w:after=\"160\" w:line=\"276\" w:lineRule=\"auto\"/></w:pPr></w:pPrDefault></w:docDefaults>\
         <w:style w:type=\"paragraph\" w:default=\"1\" w:styleId=\"Normal\"><w:name w:val=\"Normal\"/></w:style>\
         <w:style w:type=\"paragraph\" w:styleId=\"Title\"><w:name w:val=\"Title\"/><w:basedOn \
         w:val=\"Normal\"/><w:next w:val=\"Normal\"/><w:rPr><w:b/><w:sz w:val=\"36\"/></w:rPr></w:style>\
         </w:styles>",
        language.unwrap_or_default()
    )
}

fn properties(transcript: &Transcript) -> String {
    let title = escape(&recording_name::display_name(&transcript.source.uri));
    let language = code(transcript);
    let language = language.map(|code| format!("<dc:language>{code}</dc:language>"));
    format!(
        "<cp:coreProperties xmlns:cp=\"http://schemas.openxmlformats.org/package/2006/metadata/core-properties\" \
         xmlns:dc=\"http://purl.org/dc/elements/1.1/\"><dc:title>{title}</dc:title>{}</cp:coreProperties>",
        language.unwrap_or_default()
    )
}

/// Returns the language if it is a code: a transcript is read from a file.
fn code(transcript: &Transcript) -> Option<&str> {
    let is_code = |code: &&str| {
        matches!(code.len(), 2 | 3) && code.bytes().all(|byte| byte.is_ascii_lowercase())
    };
    transcript.language.as_deref().filter(is_code)
}
