//! A folder as a page: one link an entry, folders first.

use std::fmt::Write as _;
use std::os::fd::OwnedFd;

use html_escape::encode_text;
use rustix::fs::{Dir, FileType};
use rustix::io::retry_on_intr;
use sockeye_engine::fault::{self, Point};
use sockeye_http::{RelativePath, encode_segment};

use super::files;
use super::root::Root;
use super::upload;

/// The page needs nothing but its own style.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The listing as HTML. Names that are not UTF-8 are shown with replacement characters; their
/// links are exact.
pub(super) fn page(
    root: &Root,
    files: &files::Options,
    folder: &OwnedFd,
    path: &RelativePath<'_>,
) -> rustix::io::Result<Vec<u8>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(folder)? {
        retry_on_intr(|| fault::ask(Point::Read))?;
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let ours = upload::is_ours(name);
        if name == b"." || name == b".." || ours || !files.shows(name) {
            continue;
        }
        let is_folder = match entry.file_type() {
            FileType::Symlink | FileType::Unknown => {
                root.is_folder(&[path.as_bytes(), name].join(&b'/'))
            }
            kind => kind == FileType::Directory,
        };
        entries.push((!is_folder, name.to_vec()));
    }
    entries.sort();
    let shown = format!("/{}", String::from_utf8_lossy(path.as_bytes()));
    let title = encode_text(&shown);
    let mut page = String::with_capacity(512 + entries.len() * 96);
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>:root{{color-scheme:light dark}}body{{font:1rem/1.6 system-ui,sans-serif;\
         margin:2rem auto;max-width:50rem;padding:0 1rem}}h1{{font-size:1.2rem;\
         overflow-wrap:anywhere}}ul{{list-style:none;padding:0}}a{{text-decoration:none;\
         overflow-wrap:anywhere}}a:hover,a:focus{{text-decoration:underline}}</style>\n\
         <h1>{title}</h1>\n<ul>\n"
    );
    if !path.is_root() {
        page.push_str("<li><a href=\"../\">../</a>\n");
    }
    for (is_file, name) in entries {
        let slash = if is_file { "" } else { "/" };
        let shown = String::from_utf8_lossy(&name);
        let link = encode_segment(&name);
        let _ =
            writeln!(page, "<li><a href=\"./{link}{slash}\">{}{slash}</a>", encode_text(&shown));
    }
    page.push_str("</ul>\n</html>\n");
    Ok(page.into_bytes())
}
