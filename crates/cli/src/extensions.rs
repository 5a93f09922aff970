//! The names by which recordings are recognized in folders. A file that is named on the command line
//! may have any name: its content decides what it is.

/// Extensions of recordings, in lower case. docs/operations.md lists them, too. Formats without a header,
/// such as raw G.722, are not among them: nobody could tell what they contain.
const EXTENSIONS: &[&str] = &[
    "3g2", "3ga", "3gp", "3gp2", "3gpp", "3gpp2", "aac", "ac3", "adts", "aif", "aifc", "aiff",
    "amr", "ape", "asf", "au", "avi", "awb", "bwf", "caf", "divx", "dsf", "dss", "dts", "dv",
    "eac3", "ec3", "f4a", "f4v", "flac", "flv", "m2a", "m2t", "m2ts", "m4a", "m4b", "m4p", "m4r",
    "m4v", "mk3d", "mka", "mkv", "mov", "mp1", "mp2", "mp3", "mp4", "mpa", "mpc", "mpe", "mpeg",
    "mpg", "mpga", "mts", "mxf", "nut", "oga", "ogg", "ogm", "ogv", "ogx", "oma", "opus", "qt",
    "ra", "ram", "rf64", "rm", "rmvb", "snd", "sph", "spx", "tak", "tod", "ts", "tta", "vob",
    "w64", "wav", "wave", "weba", "webm", "wma", "wmv", "wtv", "wv", "xwma",
];

/// Returns whether a file of this name is taken for a recording.
pub(crate) fn is_name_of_recording(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");

    #[test]
    fn upper_case_and_further_dots_do_not_matter() {
        for name in ["a.WAV", "a.b.Mp2", ".hidden.qt", "a/b.3G2", "x.rf64"] {
            assert!(is_name_of_recording(name), "{name}");
        }
        for name in ["wav", "a.txt", "a.wav.json", "a", "a."] {
            assert!(!is_name_of_recording(name), "{name}");
        }
    }

    #[test]
    fn the_extensions_are_documented() {
        let page = std::fs::read_to_string(PAGE).unwrap();
        let (_, list) = page.split_once("```text\n3g2 ").unwrap();
        let (list, _) = list.split_once("```").unwrap();
        let documented: Vec<&str> = std::iter::once("3g2").chain(list.split_whitespace()).collect();
        assert_eq!(documented, EXTENSIONS, "the list should be: {}", EXTENSIONS.join(" "));
        assert!(EXTENSIONS.is_sorted());
    }
}
