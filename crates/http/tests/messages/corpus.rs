//! What the fuzz targets found worth keeping is replayed, so that it is checked without a fuzzer.

use std::path::Path;

use crate::checks;

#[test]
fn the_corpus_of_heads_holds_its_properties() {
    replay("head", checks::head);
}

#[test]
fn the_corpus_of_targets_holds_its_properties() {
    replay("target", checks::target);
}

#[test]
fn the_corpus_of_bodies_holds_its_properties() {
    replay("body", checks::body);
}

#[test]
fn the_corpus_of_forms_holds_its_properties() {
    replay("multipart", checks::multipart);
}

#[test]
fn the_corpus_of_ranges_holds_its_properties() {
    replay("range", checks::range);
}

#[test]
fn the_corpus_of_conditions_holds_its_properties() {
    replay("conditional", checks::conditional);
}

#[test]
fn the_corpus_of_responses_holds_its_properties() {
    replay("response", checks::response);
}

fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&corpus).expect("the corpus") {
        let path = entry.expect("an entry").path();
        check(&std::fs::read(&path).expect("a readable file"));
        count += 1;
    }
    assert!(count > 0, "{} is empty", corpus.display());
}
