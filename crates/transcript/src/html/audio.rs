//! The player of the page: where it takes the recording from, and what the policy must allow for that.

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::escape::escape;
use crate::{Transcript, recording_name};

/// Where the page takes the recording from. Whatever the page has, its reader can choose a file instead.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum HtmlAudio {
    /// A file in the folder of the page, with the name of the recording.
    #[default]
    Beside,
    /// A URL, absolute (`https`, `http`, `file`) or relative to the page. Other URLs are left out.
    Link(String),
    /// The recording is a part of the page, in base64: four bytes for three.
    Embedded {
        /// Media type, e.g. `audio/mpeg`.
        media_type: String,
        /// The recording as a file.
        bytes: Vec<u8>,
    },
    /// Nowhere: the reader chooses a file.
    None,
}

/// What the page needs to play the recording.
#[derive(Debug)]
pub(super) struct Player {
    /// The `audio` or `video` element.
    pub(super) element: String,
    /// Sources for the directive `media-src` of the policy.
    pub(super) media_source: String,
}

/// Characters of a file name that a relative URL keeps.
const FILE_NAME: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Extensions and containers of recordings that may have pictures.
const VIDEO: [&str; 14] = [
    "mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "m2ts", "mts", "ogv", "mpg", "mpeg", "wmv",
    "3gp",
];

impl Player {
    pub(super) fn new(audio: &HtmlAudio, transcript: &Transcript) -> Self {
        // A file that the reader chooses is played from an object URL.
        let chosen = "blob:";
        match audio {
            HtmlAudio::Beside => {
                let name = recording_name::file_name(&transcript.source.uri);
                // Without `./`, a colon in the name would end a scheme.
                let url = format!("./{}", utf8_percent_encode(&name, &FILE_NAME));
                Self::new(&HtmlAudio::Link(url), transcript)
            }
            HtmlAudio::Link(url) => match allowed_source(url) {
                Some(source) => Self {
                    element: element(tag(extension(url)), &format!(" src=\"{}\"", escape(url))),
                    media_source: format!("{source} {chosen}"),
                },
                None => Self::new(&HtmlAudio::None, transcript),
            },
            HtmlAudio::Embedded { media_type, bytes } => {
                let is_safe = |b: u8| b.is_ascii_alphanumeric() || b"/+.-".contains(&b);
                let is_type = !media_type.is_empty() && media_type.bytes().all(is_safe);
                let media_type = if is_type { media_type } else { "application/octet-stream" };
                let tag = if media_type.starts_with("video/") { "video" } else { "audio" };
                let src = format!(" src=\"data:{media_type};base64,{}\"", STANDARD.encode(bytes));
                Self { element: element(tag, &src), media_source: format!("data: {chosen}") }
            }
            HtmlAudio::None => {
                let tag = tag(&transcript.source.container);
                Self { element: element(tag, ""), media_source: chosen.to_owned() }
            }
        }
    }
}

/// Returns the element. Its own controls are for readers without JavaScript.
fn element(tag: &str, src: &str) -> String {
    let controls = if src.is_empty() { "" } else { " controls" };
    format!("<{tag} id=\"media\" preload=\"metadata\"{controls}{src}></{tag}>")
}

/// Returns the element for a recording of this container. A `video` element plays recordings without pictures too.
fn tag(container: &str) -> &'static str {
    let is_video = VIDEO.iter().any(|known| container.eq_ignore_ascii_case(known));
    if is_video { "video" } else { "audio" }
}

/// Returns the extension of a URL's path.
fn extension(url: &str) -> &str {
    let path = &url[..url.find(['?', '#']).unwrap_or(url.len())];
    path.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// Returns the sources that the policy must allow for `url`; `None` if the page must not load it.
fn allowed_source(url: &str) -> Option<String> {
    match Url::parse(url) {
        Ok(absolute) => match absolute.scheme() {
            "http" | "https" => Some(absolute.origin().ascii_serialization()),
            "file" => Some("file:".to_owned()),
            _ => None,
        },
        Err(_) => {
            let base = Url::parse("https://page.invalid/folder/page.html").ok()?;
            let resolved = base.join(url).ok()?;
            // `//host/path` is relative to the scheme, and leaves the host.
            (resolved.origin() == base.origin()).then(|| "'self' file:".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_allows_the_recording_and_no_more() {
        for (url, source) in [
            ("talk.mp3", Some("'self' file:")),
            ("../a/talk%20b.mp3?x#y", Some("'self' file:")),
            ("https://b.example:8443/talk.mp3?X-Amz-Signature=1", Some("https://b.example:8443")),
            ("http://bücher.example/x", Some("http://xn--bcher-kva.example")),
            ("file:///a/talk.mp3", Some("file:")),
            ("s3://b/talk.mp3", None),
            ("javascript:alert(1)", None),
            (" java\nscript:alert(1)", None),
            ("data:text/html,x", None),
            ("//evil.example/x", None),
            ("\\\\evil.example\\x", None),
            ("https://", None),
        ] {
            assert_eq!(allowed_source(url).as_deref(), source, "{url}");
        }
    }

    #[test]
    fn containers_with_pictures_get_a_video_element() {
        assert_eq!(
            ["mp4", "MKV", "wav", "ogg", ""].map(tag),
            ["video", "video", "audio", "audio", "audio"]
        );
        assert_eq!(tag(extension("a.b/talk.webm?a=.mp3#t=1")), "video");
        assert_eq!(extension("https://x/talk"), "");
    }
}
