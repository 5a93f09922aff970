//! The other name that a transcript may have: whoever changes the way of naming has transcripts that
//! only need another name.

use location::Location;

/// Returns where the transcript of a recording lies if it is named by stem and this output by the full
/// name, or the other way round; `None` if the output is named in neither way.
pub fn of(output: &Location, source: &Location) -> Option<Location> {
    let (full, name) = (source.file_name(), output.file_name());
    let stem = job::stem(&full)?;
    let other = match &*name {
        name if name == full => stem,
        name if name == stem => &full,
        _ => return None,
    };
    output.parent()?.join(other).ok()
}

/// Whether the output is named by the stem of the recording: where subtitles by others may lie.
pub(super) fn is_stem(output: &Location, source: &Location) -> bool {
    job::stem(&source.file_name()) == Some(&*output.file_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_and_a_full_name_are_each_others_other_name() {
        let location = |uri: &str| uri.parse::<Location>().unwrap();
        let source = location("s3://b/in/talk.mp4");
        let other = |output: &str| of(&location(output), &source).map(|other| other.to_string());
        assert_eq!(other("s3://b/out/talk.mp4").as_deref(), Some("s3://b/out/talk"));
        assert_eq!(other("file:///out/talk").as_deref(), Some("file:///out/talk.mp4"));
        assert_eq!(other("s3://b/out/speech"), None);
        assert!(is_stem(&location("file:///out/talk"), &source));
        assert!(!is_stem(&location("file:///out/talk.mp4"), &source));
        assert_eq!(of(&location("s3://b/a"), &location("s3://b/a")), None);
    }
}
