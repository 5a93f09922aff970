/// Says why a key cannot be a path below a root: it would be another file than it says, or one
/// outside of the root.
pub(crate) fn check(key: &str) -> Result<(), &'static str> {
    if key.is_empty() {
        return Err("the key is empty");
    }
    if key.contains('\0') {
        return Err("a file name cannot hold a NUL character");
    }
    for part in key.split('/') {
        match part {
            "" => return Err("the key has an empty part: a file path has single slashes inside"),
            "." | ".." => return Err("the key has a part '.' or '..', which local files refuse"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn only_plain_relative_paths_are_keys() {
        for key in ["a", "a/b.wav", "a..b", ".hidden", "...", "a b'\"\n電", "%2e%2e/x", "C:\\x"] {
            assert_eq!(check(key), Ok(()), "{key:?}");
        }
        for key in ["", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/..", "./a", "a/.", "a\0b"] {
            assert!(check(key).is_err(), "{key:?}");
        }
    }
}
