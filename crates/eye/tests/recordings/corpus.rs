//! What the fuzz target found worth keeping is replayed, so that it is checked without a fuzzer.

use std::fs;
use std::path::Path;

use crate::checks;

#[test]
fn the_corpus_of_recordings_holds_its_properties() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/recording");
    let mut count = 0;
    for entry in fs::read_dir(&corpus).expect("the corpus") {
        checks::recording(&fs::read(entry.expect("an entry").path()).expect("a readable file"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}
