//! Pulls the default models from their real sources. Ignored in normal runs, because it needs a network
//! and downloads 75 MB. `cargo test -p models --test pull_real -- --ignored --nocapture`; set
//! `PULL` to pull another model.

use models::{Catalogue, DEFAULT_RECOGNIZER, DEFAULT_VAD, Library};

#[tokio::test]
#[ignore = "downloads models"]
async fn pulls_the_default_models() {
    let root = tempfile::tempdir().unwrap();
    let library = Library::new(root.path().to_owned(), Catalogue::builtin());
    let names = std::env::var("PULL").unwrap_or(format!("{DEFAULT_VAD} {DEFAULT_RECOGNIZER}"));
    for name in names.split(' ') {
        let begun = std::time::Instant::now();
        let entry = library.catalogue().get(name).unwrap();
        let model = library.pull(entry, &|_| ()).await.unwrap().model;
        library.verify(entry).unwrap();
        assert_eq!(library.open(name).unwrap(), model);
        println!("{name}: {:.1} s", begun.elapsed().as_secs_f64());
    }
}
