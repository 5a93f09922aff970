//! Warnings of our own demuxers, which they hand over as metadata of the recording: symphonia's
//! interface has no other place for them.

use symphonia::core::formats::FormatReader;
use symphonia::core::meta::{
    METADATA_ID_NULL, MetadataBuilder, MetadataInfo, MetadataLog, RawValue, Tag,
};

const INFO: MetadataInfo = MetadataInfo {
    metadata: METADATA_ID_NULL,
    short_name: "notes",
    long_name: "Notes of the demuxer",
};

/// Key of the tags. Files cannot have it: no demuxer names its revision as ours do.
const KEY: &str = "warning";

/// Adds a warning to a demuxer's metadata.
pub(crate) fn add(log: &mut MetadataLog, warning: String) {
    let mut builder = MetadataBuilder::new(INFO);
    builder.add_tag(Tag::new_from_parts(KEY, RawValue::from(warning), None));
    log.push(builder.build());
}

/// Removes the warnings from a demuxer's metadata.
pub(crate) fn take(reader: &mut dyn FormatReader) -> Vec<String> {
    let mut metadata = reader.metadata();
    let mut warnings = Vec::new();
    loop {
        if let Some(revision) = metadata.current()
            && revision.info.short_name == INFO.short_name
        {
            warnings.extend(revision.media.tags.iter().map(|tag| tag.raw.value.to_string()));
        }
        if metadata.is_latest() || metadata.pop().is_none() {
            return warnings;
        }
    }
}
