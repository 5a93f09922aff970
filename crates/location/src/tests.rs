//! The grammar of locations, case by case.
//!
//! [`Location::parse_object`] is for jobs, [`str::parse`] for stores. The tests named
//! `jobs_and_stores_...` contain every case in which the two might differ, and the reason where
//! they do.

use std::{ffi::OsString, os::unix::ffi::OsStringExt};

use super::*;

fn parse(text: &str) -> Location {
    Location::from_argument(text).unwrap()
}

fn refused(text: &str) -> String {
    Location::from_argument(text).unwrap_err().kind.to_string()
}

fn object(uri: &str) -> Location {
    Location::parse_object(uri, 0).unwrap()
}

fn no_object(uri: &str) -> String {
    Location::parse_object(uri, 0).unwrap_err().kind.to_string()
}

#[test]
fn s3_keys_are_literal() {
    for key in [
        "a.wav",
        "a b/c'd\"e.wav",
        "a%2Fb%20c",
        "../../etc/passwd",
        "/leading",
        "two//slashes",
        "trailing/",
        "line\nbreak",
        "電話/запись.wav",
        "a?b#c&d=e+f",
        "",
    ] {
        let location = parse(&format!("s3://bucket/{key}"));
        assert_eq!(location, Location::S3 { bucket: "bucket".into(), key: key.into() });
        assert_eq!(location.to_string(), format!("s3://bucket/{key}"));
        assert_eq!(location.key().unwrap(), key);
    }
    assert_eq!(parse("s3://bucket"), parse("s3://bucket/"));
}

#[test]
fn file_uris_are_decoded_and_encoded() {
    let path = Path::new("/r/a b%2F#?'電\n.wav");
    let uri = "file:///r/a%20b%252F%23%3F'%E9%9B%BB%0A.wav";
    assert_eq!(Location::File(path.into()).to_string(), uri);
    assert_eq!(parse(uri), Location::File(path.into()));
    assert_eq!(object(uri), Location::File(path.into()));
    assert_eq!(parse("file://localhost/r/a.wav"), Location::File("/r/a.wav".into()));
}

#[test]
fn a_path_that_is_not_utf8_has_a_uri_but_no_key() {
    let location = parse("file:///r/%FF.wav");
    assert_eq!(location, Location::File(OsString::from_vec(b"/r/\xff.wav".to_vec()).into()));
    assert_eq!(location.to_string(), "file:///r/%FF.wav");
    assert!(matches!(location.key().unwrap_err().kind, ErrorKind::NotUtf8));
    // A job may name it; the worker that opens it reports that stores need UTF-8.
    assert_eq!(object("file:///r/%FF.wav"), location);
}

#[test]
fn plain_paths_are_literal_and_become_absolute() {
    let here = std::env::current_dir().unwrap();
    assert_eq!(parse("a%20b.wav"), Location::File(here.join("a%20b.wav")));
    assert_eq!(parse("./x//y"), Location::File(here.join("x/y")));
    assert_eq!(parse("a:b"), Location::File(here.join("a:b")));
    assert_eq!(parse("/r/").to_string(), "file:///r/");
    assert_eq!(parse("/nowhere/at/all/../b/../../c/").to_string(), "file:///nowhere/c/");
    assert_eq!(parse("/../../r").to_string(), "file:///r");
}

#[test]
fn only_arguments_may_be_plain_paths() {
    for text in ["a.wav", "/srv/a.wav", "", "S3://calls/a", "ftp://example.com/a"] {
        let error = text.parse::<Location>().unwrap_err();
        assert!(matches!(error.kind, ErrorKind::NotAUri), "{error}");
        let error = Location::parse_object(text, 0).unwrap_err();
        assert!(matches!(error.kind, ErrorKind::NotAUri), "{error}");
    }
}

#[test]
fn parent_dirs_are_resolved_through_links_as_the_file_system_does() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    std::fs::create_dir_all(root.join("deep/er")).unwrap();
    std::os::unix::fs::symlink(root.join("deep/er"), root.join("link")).unwrap();
    let expected = Location::File(root.join("deep/x"));
    assert_eq!(Location::from_path(root.join("link/../x")).unwrap(), expected);
    let uri = Location::File(root.join("link/../x")).to_string();
    assert_eq!(uri.parse::<Location>().unwrap(), expected);
}

#[test]
fn invalid_locations_are_refused_with_a_remedy() {
    assert!(refused("").contains("empty"));
    assert!(refused("gs://bucket/key").contains("use s3://"));
    assert!(refused("https://ho st/x").contains("not a valid URL"));
    assert!(refused("gs://host/x").contains("gs:// is not supported"));
    assert!(refused("S3://calls/a").contains("S3:// is not supported"));
    assert!(refused("s3://").contains("bucket"));
    assert!(refused("s3:///key").contains("bucket"));
    assert!(refused("s3://bu cket/key").contains("bucket"));
    assert!(refused(&format!("s3://b/{}", "é".repeat(513))).contains("1024"));
    assert!(refused("file://server/share").contains("three slashes"));
    assert!(refused("file:///a?b").contains("%3F"));
    assert!(refused("file:///a%2").contains("%25"));
    assert!(refused("file:///a%00").contains("NUL"));
    assert!(refused("a\0b").contains("NUL"));
}

#[test]
fn an_error_quotes_the_text_on_one_line() {
    let error = Location::from_argument("gs://b/a\nERROR \u{1b}[31m").unwrap_err();
    let expected = "\"gs://b/a\\nERROR \\u{1b}[31m\": gs:// is not supported";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert_eq!(error.text, "gs://b/a\nERROR \u{1b}[31m");
}

/// Older buckets, and those of other servers, have names that Amazon refuses for new buckets.
#[test]
fn jobs_and_stores_agree_on_bucket_names() {
    let longest = "b".repeat(255);
    for bucket in
        ["calls", "my_calls", "Calls", "a", "127.0.0.1", "b-", "b.", "_b", "a.b-c_d", &longest]
    {
        let uri = format!("s3://{bucket}/a");
        let expected = Location::S3 { bucket: bucket.to_owned(), key: "a".to_owned() };
        assert_eq!(object(&uri), expected);
        assert_eq!(parse(&uri), expected);
    }
    let too_long = "b".repeat(256);
    for (bucket, reason) in [
        ("", "1 to 255 characters"),
        (&too_long, "1 to 255 characters"),
        ("bu cket", "characters other than"),
        ("b:9000", "characters other than"),
        ("b@c", "characters other than"),
        ("b%2e", "characters other than"),
        ("bücher", "characters other than"),
        ("b\0", "characters other than"),
        (".", "begins with '.' or '-'"),
        ("..", "begins with '.' or '-'"),
        (".minio.sys", "begins with '.' or '-'"),
        ("-calls", "begins with '.' or '-'"),
        ("ca..lls", "two dots"),
    ] {
        let uri = format!("s3://{bucket}/a");
        for error in [no_object(&uri), refused(&uri)] {
            assert!(error.contains(reason), "{uri}: {error}");
            assert!(error.contains("bucket"), "{uri}: {error}");
        }
    }
}

#[test]
fn jobs_and_stores_agree_on_literal_keys() {
    for key in ["a b.wav", "../../etc/passwd", "a\nb\"'.wav", "%41?x#y", "//a//b", "录音.wav"] {
        let uri = format!("s3://calls/{key}");
        assert_eq!(object(&uri), parse(&uri));
        assert_eq!(object(&uri).key().unwrap(), key);
    }
}

#[test]
fn jobs_and_stores_agree_on_the_encoding_of_file_uris() {
    // Characters that should be encoded are accepted, except '?', '#' and '%'.
    assert_eq!(object("file:///srv/a b/录音.wav"), parse("file:///srv/a b/录音.wav"));
    for (uri, reason) in [
        ("file:///a%2", "two hexadecimal digits"),
        ("file:///a%", "two hexadecimal digits"),
        ("file:///a%zz", "two hexadecimal digits"),
        ("file:///a%%41", "two hexadecimal digits"),
        ("file:///a%00", "NUL"),
        ("file:///a\0", "NUL"),
        ("file:///a?b", "is written %3F"),
        ("file:///a#b", "'#' %23"),
        ("file://host/a", "three slashes"),
        ("file://a", "three slashes"),
        ("file://", "three slashes"),
    ] {
        for error in [no_object(uri), refused(uri)] {
            assert!(error.contains(reason), "{uri:?}: {error}");
        }
    }
}

/// RFC 8089 allows `localhost` as the host. A job's id is a digest of the text of its URIs, so
/// jobs accept the common spelling only.
#[test]
fn jobs_and_stores_differ_on_localhost() {
    assert_eq!(parse("file://localhost/a"), parse("file:///a"));
    assert!(no_object("file://localhost/a").contains("three slashes"));
}

/// A job names objects; a listing or an output may name a prefix.
#[test]
fn jobs_and_stores_differ_on_prefixes() {
    for (uri, reason) in [
        ("s3://calls", "no key"),
        ("s3://calls/", "is empty"),
        ("s3://calls/a/", "ends in a slash"),
        ("file:///", "is empty"),
        ("file:////", "is empty"),
        ("file:///a/", "ends in a slash"),
    ] {
        assert!(no_object(uri).contains(reason), "{uri}: {}", no_object(uri));
        assert!(parse(uri).is_prefix(), "{uri}");
    }
}

/// S3 keys may contain NUL, and a store reads them. A job's id joins its URIs with NUL, so a job
/// must not contain one.
#[test]
fn jobs_and_stores_differ_on_nul_in_keys() {
    assert!(no_object("s3://calls/a\0").contains("NUL"));
    assert_eq!(parse("s3://calls/a\0").key().unwrap(), "a\0");
}

/// A job is validated on machines that do not have the file: its path is not looked up.
#[test]
fn jobs_and_stores_differ_on_parent_dirs() {
    let uri = "file:///srv/a b/../c%20.wav";
    assert_eq!(object(uri), Location::File("/srv/a b/../c .wav".into()));
    assert_eq!(parse(uri), Location::File("/srv/c .wav".into()));
}

/// A job leaves space for the names that are appended later: the extension of a transcript, the
/// name of a record. A path counts decoded, as the operating system counts it, and a store has no
/// limit of its own for paths: the file system does.
#[test]
fn jobs_and_stores_differ_on_lengths() {
    let key = |bytes: usize| format!("s3://calls/{}", "k".repeat(bytes));
    assert!(Location::parse_object(&key(1024), 0).is_ok());
    assert!(Location::parse_object(&key(1019), 5).is_ok());
    let error = Location::parse_object(&key(1020), 5).unwrap_err();
    assert!(error.to_string().contains("the key is longer than 1019 bytes"), "{error}");
    assert!(no_object(&key(1025)).contains("the key is longer than 1024 bytes"));
    assert!(refused(&key(1025)).contains("the key is longer than 1024 bytes"));

    let path = |bytes: usize| format!("file:///{}", "p".repeat(bytes));
    assert!(Location::parse_object(&path(4096), 0).is_ok());
    let error = Location::parse_object(&path(4096), 5).unwrap_err();
    assert!(error.to_string().contains("the path is longer than 4091 bytes"), "{error}");
    assert!(path(4097).parse::<Location>().is_ok());
    let encoded = format!("file:///{}", "%E9%9B%BB".repeat(1365));
    assert!(Location::parse_object(&encoded, 1).is_ok());
    assert!(Location::parse_object(&encoded, 2).is_err());
}

#[test]
fn a_store_is_a_bucket_or_the_file_system() {
    let same = |a: &str, b: &str| parse(a).same_store(&parse(b));
    assert!(same("s3://a/k", "s3://a/l") && same("file:///a", "file:///b"));
    assert!(!same("s3://a/k", "s3://b/k") && !same("s3://a/k", "file:///a"));
}

#[test]
fn joined_locations_are_below_the_prefix() {
    assert_eq!(parse("s3://b").join("x").unwrap(), parse("s3://b/x"));
    assert_eq!(parse("s3://b/a").join("x/y").unwrap(), parse("s3://b/a/x/y"));
    assert_eq!(parse("s3://b/a/").join("../x").unwrap(), parse("s3://b/a/../x"));
    assert_eq!(parse("/a").join("x/y").unwrap(), parse("/a/x/y"));
    assert_eq!(parse("/a/").join("x/").unwrap().to_string(), "file:///a/x/");
    for hostile in ["", "..", "../x", "x/../../y", "/x", "x//y", "./x", "x\0"] {
        assert!(parse("/a").join(hostile).is_err(), "{hostile:?}");
    }
    assert!(parse("s3://b").join("").is_err());
}

#[test]
fn file_keys_are_plain_relative_paths() {
    for key in ["a", "a/b.wav", "a..b", ".hidden", "...", "a b'\"\n電", "%2e%2e/x", "C:\\x"] {
        assert!(check_file_key(key).is_ok(), "{key:?}");
    }
    for key in ["", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/..", "./a", "a/.", "a\0b"] {
        assert!(check_file_key(key).is_err(), "{key:?}");
    }
}

#[test]
fn parents_and_prefixes() {
    assert_eq!(parse("s3://b/a/c.wav").parent().unwrap(), parse("s3://b/a/"));
    assert_eq!(parse("s3://b/a/").parent().unwrap(), parse("s3://b"));
    assert_eq!(parse("s3://b").parent(), None);
    assert_eq!(parse("/a/c.wav").parent().unwrap().to_string(), "file:///a/");
    assert_eq!(parse("/").parent(), None);
    assert!(parse("s3://b").is_prefix() && parse("s3://b/a/").is_prefix());
    assert!(!parse("s3://b/a").is_prefix() && !parse("/a").is_prefix());
    assert!(parse("/a/").is_prefix() && parse("/").is_prefix());
    assert_eq!(parse("/a").as_prefix().to_string(), "file:///a/");
    assert_eq!(parse("s3://b/a/c.wav").file_name(), "c.wav");
    assert_eq!(parse("s3://b/a/").file_name(), "a");
    assert_eq!(parse("/a/c.wav").file_name(), "c.wav");
}

#[test]
fn relative_parts_mirror_the_base() {
    let relative = |a: &str, b: &str| parse(a).relative_to(&parse(b)).map(str::to_owned);
    assert_eq!(relative("s3://b/r/x/a.wav", "s3://b/r/").as_deref(), Some("x/a.wav"));
    assert_eq!(relative("s3://b/r/x/a.wav", "s3://b/r").as_deref(), Some("x/a.wav"));
    assert_eq!(relative("s3://b/r/x/a.wav", "s3://b").as_deref(), Some("r/x/a.wav"));
    assert_eq!(relative("s3://b/r/x/a.wav", "s3://b/r/x/a.wav").as_deref(), Some("a.wav"));
    assert_eq!(relative("s3://b/2026-01/a.wav", "s3://b/2026-").as_deref(), Some("2026-01/a.wav"));
    assert_eq!(relative("/r/x/a.wav", "/r").as_deref(), Some("x/a.wav"));
    assert_eq!(relative("/r/a.wav", "/r/a.wav").as_deref(), Some("a.wav"));
    assert_eq!(relative("s3://b/r/a.wav", "s3://c/r"), None);
    assert_eq!(relative("s3://b/r/a.wav", "/r"), None);
    assert_eq!(relative("s3://b/r/a.wav", "s3://b/s"), None);
}

#[test]
fn a_url_is_one_recording_and_never_a_prefix() {
    let text = "https://a.org/calls/a%20b.wav?sig=s3cret";
    for location in [parse(text), object(text), text.parse().unwrap()] {
        assert_eq!(location.to_uri(), text);
        assert_eq!(location.to_string(), "https://a.org/calls/a%20b.wav?…");
        assert!(!format!("{location:?}").contains("s3cret"));
        assert_eq!((location.key().unwrap(), &*location.file_name()), ("calls/a b.wav", "a b.wav"));
        assert!(!location.is_prefix() && location.as_prefix() == location);
        assert_eq!(location.parent(), None);
        let below = location.join("x").unwrap_err();
        assert!(matches!(below.kind, ErrorKind::ReadOnly));
        assert!(!below.to_string().contains("s3cret"), "{below}");
        assert!(!location.same_store(&location) && location.relative_to(&location).is_none());
    }
    // Different queries are different recordings.
    assert_ne!(object("https://a.org/x?id=1"), object("https://a.org/x?id=2"));
    assert!(!parse("https://a.org/folder/").is_prefix());
    for error in [
        Location::parse_object("https://u:s3cret@a b.org/?s3cret", 0).unwrap_err(),
        "https://a.org:x/?s3cret".parse::<Location>().unwrap_err(),
    ] {
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
}
