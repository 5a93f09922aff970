//! Where the HTML page takes the recording from.

use std::{fs, path::Path};

use transcript::{Format, HtmlAudio, HtmlOptions};

use super::ConvertArgs;
use crate::UsageError;

/// Largest recording that becomes a part of a page: hours of compressed speech, and what browsers and mail
/// still take.
const MAX_EMBEDDED_BYTES: u64 = 32 << 20;
/// Media types that browsers play, by extension.
const MEDIA_TYPES: [(&str, &str); 10] = [
    ("aac", "audio/aac"),
    ("flac", "audio/flac"),
    ("m4a", "audio/mp4"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("opus", "audio/ogg"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
];

/// Returns the options of the page. This call blocks.
///
/// # Errors
///
/// [`UsageError`] if there is no page, or the recording cannot be a part of one.
pub(super) fn options(
    args: &ConvertArgs,
    is_page: bool,
    may_be_several: bool,
) -> Result<HtmlOptions, UsageError> {
    let Some(flag) =
        args.embed.as_ref().map(|_| "--embed").or(args.link.as_ref().map(|_| "--link"))
    else {
        return Ok(HtmlOptions::default());
    };
    if !is_page || may_be_several {
        return Err(UsageError(format!(
            "{flag} is for one transcript and the format {}",
            Format::Html
        )));
    }
    let audio = match (&args.embed, &args.link) {
        (Some(file), _) => embedded(file)
            .map_err(|reason| UsageError(format!("--embed {}: {reason}", file.display())))?,
        (None, Some(url)) => HtmlAudio::Link(url.clone()),
        (None, None) => HtmlAudio::default(),
    };
    Ok(HtmlOptions { audio })
}

fn embedded(file: &Path) -> Result<HtmlAudio, String> {
    let extension = file.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let known = MEDIA_TYPES.iter().find(|(known, _)| extension.as_deref() == Some(known));
    let Some((_, media_type)) = known else {
        let names = MEDIA_TYPES.map(|(extension, _)| extension).join(", ");
        return Err(format!("browsers may not play it: convert it to one of {names}"));
    };
    let size = fs::metadata(file).map_err(|error| error.to_string())?.len();
    if size > MAX_EMBEDDED_BYTES {
        return Err(format!(
            "it has {size} bytes, the limit for a part of a page is {MAX_EMBEDDED_BYTES}: use --link"
        ));
    }
    let bytes = fs::read(file).map_err(|error| error.to_string())?;
    Ok(HtmlAudio::Embedded { media_type: (*media_type).to_owned(), bytes })
}
