//! Tells the program its target and commit, for `scriptorium --version`.
//!
//! Builds of releases set `SCRIPTORIUM_COMMIT`. Others of the release profile ask git, where there is one and
//! the sources are its work tree. Builds of the development profile do not: each commit would link the program anew.

use std::{env, path::Path, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SCRIPTORIUM_COMMIT");
    println!("cargo:rustc-env=SCRIPTORIUM_TARGET={}", env::var("TARGET").unwrap_or_default());
    let set = env::var("SCRIPTORIUM_COMMIT").ok().filter(|commit| !commit.trim().is_empty());
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = set.or_else(|| if is_release { from_git() } else { None });
    // A variable may hold more than a commit; one line is enough.
    let commit = commit.as_deref().and_then(|commit| commit.trim().lines().next());
    let unknown = if is_release { "unknown" } else { "development build" };
    println!("cargo:rustc-env=SCRIPTORIUM_COMMIT={}", commit.unwrap_or(unknown));
}

/// Returns the commit of the work tree that these sources are in.
fn from_git() -> Option<String> {
    let root = Path::new(&env::var_os("CARGO_MANIFEST_DIR")?).join("../..").canonicalize().ok()?;
    // The sources may be unpacked in the work tree of another project.
    let top = git(&root, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root {
        return None;
    }
    // Both change when another commit is checked out.
    for file in ["HEAD", "logs/HEAD"] {
        let path = root.join(git(&root, &["rev-parse", "--git-path", file])?);
        if path.exists() {
            println!("cargo:rerun-if-changed={}", path.display());
        }
    }
    git(&root, &["rev-parse", "--short=12", "HEAD"])
}

fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
