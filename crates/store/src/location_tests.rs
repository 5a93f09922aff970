use super::*;

fn parse(text: &str) -> Location {
    text.parse().unwrap()
}

fn refused(text: &str) -> String {
    let error = text.parse::<Location>().unwrap_err();
    assert_eq!(error.kind, Kind::Invalid);
    error.message
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
    assert_eq!(parse("file://localhost/r/a.wav"), Location::File("/r/a.wav".into()));
}

#[test]
fn a_path_that_is_not_utf8_has_a_uri_but_no_key() {
    let location = parse("file:///r/%FF.wav");
    assert_eq!(location, Location::File(OsString::from_vec(b"/r/\xff.wav".to_vec()).into()));
    assert_eq!(location.to_string(), "file:///r/%FF.wav");
    assert_eq!(location.key().unwrap_err().kind, Kind::Invalid);
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
fn parent_dirs_go_through_links_as_the_file_system_does() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    std::fs::create_dir_all(root.join("deep/er")).unwrap();
    std::os::unix::fs::symlink(root.join("deep/er"), root.join("link")).unwrap();
    let location = Location::from_path(root.join("link/../x")).unwrap();
    assert_eq!(location, Location::File(root.join("deep/x")));
}

#[test]
fn what_is_no_location_is_refused_with_a_remedy() {
    assert!(refused("").contains("empty"));
    assert!(refused("gs://bucket/key").contains("use s3://"));
    assert!(refused("https://host/x").contains("https:// is not supported"));
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
fn joins_below_and_never_beside() {
    assert_eq!(parse("s3://b").join("x").unwrap(), parse("s3://b/x"));
    assert_eq!(parse("s3://b/a").join("x/y").unwrap(), parse("s3://b/a/x/y"));
    assert_eq!(parse("s3://b/a/").join("../x").unwrap(), parse("s3://b/a/../x"));
    assert_eq!(parse("/a").join("x/y").unwrap(), parse("/a/x/y"));
    assert_eq!(parse("/a/").join("x/").unwrap().to_string(), "file:///a/x/");
    for hostile in ["", "..", "../x", "x/../../y", "/x", "x//y", "./x", "x\0"] {
        let error = parse("/a").join(hostile).unwrap_err();
        assert_eq!(error.kind, Kind::Invalid, "{hostile:?}");
    }
    assert!(parse("s3://b").join("").is_err());
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
