//! What is served: a page with its parts, a file of a gibibyte, a name that needs care.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use tempfile::TempDir;

/// A name with a blank, a percent sign that looks like an escape, and letters beyond ASCII.
pub(crate) const ODD_NAME: &str = "名 %20 ü.txt";

/// The same as browsers write it in a URL.
pub(crate) const ODD_NAME_ENCODED: &str = "%E5%90%8D%20%2520%20%C3%BC.txt";

pub(crate) const GIB: u64 = 1 << 30;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x02\0\0\0\x03\x08\x02\0\0\x006\x88I\
    \xd6\0\0\0\x10IDATx\x9cc\xf8\xd5P\x04D\x0c(\x14\0|Y\x0b\x89i\xefG\xec\0\0\0\0IEND\xaeB`\x82";

const SVG: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"5\" height=\"7\">\
    <circle cx=\"2\" cy=\"3\" r=\"2\" fill=\"salmon\"/></svg>\n";

const CSS: &str = "body { color: rgb(250, 128, 114) }\n";

/// The page asks for every file of the folder by itself and reports what it got.
const PAGE: &str = include_str!("page.html");

/// A folder with a page and its parts; `sub/` has no page but the odd name.
pub(crate) fn site() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("index.html"), PAGE).unwrap();
    fs::write(path.join("style.css"), CSS).unwrap();
    fs::write(path.join("dot.png"), PNG).unwrap();
    fs::write(path.join("circle.svg"), SVG).unwrap();
    fs::create_dir(path.join("sub")).unwrap();
    fs::write(path.join("sub").join(ODD_NAME), "the odd one\n").unwrap();
    folder
}

/// Bytes that are the same for the same seed and repeat nowhere.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A file with holes: `size` bytes of which few take up room.
pub(crate) fn sparse(path: &Path, size: u64) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    let mut at = 0;
    while at < size {
        let block = noise(at + 1, usize::try_from((size - at).min(40_000)).unwrap());
        file.write_all_at(&block, at).unwrap();
        at += 17 * 1024 * 1024 + 4321;
    }
    let end = noise(9, 1000);
    file.write_all_at(&end, size - 1000).unwrap();
}
