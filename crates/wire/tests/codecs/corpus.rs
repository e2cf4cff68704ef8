//! What the fuzz targets found worth keeping is replayed, so that it is checked without a fuzzer.

use std::path::Path;

use crate::checks;

#[test]
fn the_corpus_of_frames_holds_its_properties() {
    replay("frame", checks::frame);
}

#[test]
fn the_corpus_of_framings_holds_its_properties() {
    replay("framing", checks::framing);
}

#[test]
fn the_corpus_of_hexadecimal_holds_its_properties() {
    replay("hex", checks::hex);
}

#[test]
fn the_corpus_of_telnet_holds_its_properties() {
    replay("telnet", checks::telnet);
}

#[test]
fn the_corpus_of_text_holds_its_properties() {
    replay("text", checks::text);
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
