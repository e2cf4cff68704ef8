//! The folder as a zip stream: lengths and checksums stand behind each file, so nothing has to be gone
//! back to; what is beyond 4 GiB or 65,535 entries is told by ZIP64.

use std::borrow::Cow;
use std::io::{self, Read as _, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use rawzip::extra_fields::ExtraFieldId;
use rawzip::path::EntryPath;
use rawzip::time::UtcDateTime;
use rawzip::{CompressionMethod, ErrorKind, Header, ZipArchiveWriter};
use rustix::fs::Stat;

use super::note::Note;
use super::pipe::Pipe;
use super::walk::{Content, Walk, What};

/// Files whose names end so are packed already, and stored as they are.
const PACKED: [&str; 32] = [
    "7z", "aac", "avif", "br", "bz2", "docx", "flac", "gif", "gz", "heic", "jpeg", "jpg", "m4a",
    "mkv", "mov", "mp3", "mp4", "odt", "ogg", "opus", "png", "pptx", "rar", "tgz", "webm", "webp",
    "woff", "woff2", "xlsx", "xz", "zip", "zst",
];

/// A file as long as this, in bytes, has its lengths told in 64 bits behind it. Readers learn that from
/// the header in front of it, so it is announced there.
const FAR: u64 = u32::MAX as u64;

/// A file as long as this might become far by packing: what can't be packed becomes a little longer. It
/// is stored as it is.
const NEAR: u64 = FAR - 8 * 1024 * 1024;

/// Writes all of it into the pipe, and gives that back.
pub(super) fn write(walk: &mut Walk, note: &mut Note, top: &str, pipe: Pipe) -> io::Result<Pipe> {
    let mut zip = ZipArchiveWriter::new(pipe);
    let stat = walk.top()?;
    let mut buffer = vec![0; 64 * 1024];
    folder(&mut zip, &format!("{top}/").into_bytes(), &stat)?;
    while let Some(item) = walk.next(note) {
        let (path, changed) = fit(&item.path);
        if changed {
            note.add(&item.path, "here with %5C for \\, which some programs take for a slash");
        }
        let path = [top.as_bytes(), b"/", &path].concat();
        match item.what {
            What::Folder => folder(&mut zip, &[&path[..], b"/"].concat(), &item.stat)?,
            What::Link(target) => {
                let length = target.len() as u64;
                file(&mut zip, &path, &item.stat, 0o120_777, false, length, |out| {
                    out.write_all(&target)
                })?;
            }
            What::File(opened) => {
                let mode = 0o100_000 | (item.stat.st_mode & 0o777);
                let length = u64::try_from(item.stat.st_size).unwrap_or(0);
                let packs = !is_packed(&item.path) && !(NEAR..FAR).contains(&length);
                let mut content = Content::new(opened, &item.stat);
                // What was announced as far must be.
                let padding = if length >= FAR { u64::MAX } else { 0 };
                let mut padded = content.by_ref().chain(io::repeat(0).take(padding)).take(length);
                file(&mut zip, &path, &item.stat, mode, packs, length, |out| {
                    loop {
                        match padded.read(&mut buffer)? {
                            0 => return Ok(()),
                            count => out.write_all(&buffer[..count])?,
                        }
                    }
                })?;
                if let Some(wrong) = content.wrong(length >= FAR) {
                    note.add(&item.path, &wrong);
                }
            }
        }
    }
    if let Some(text) = note.text() {
        let path = format!("{top}/{}", note.name).into_bytes();
        let length = text.len() as u64;
        file(&mut zip, &path, &stat, 0o100_644, true, length, |out| {
            out.write_all(text.as_bytes())
        })?;
    }
    zip.finish().map_err(failed)
}

fn folder(zip: &mut ZipArchiveWriter<Pipe>, path: &[u8], stat: &Stat) -> io::Result<()> {
    let entry = zip
        .new_dir(named(path))
        .last_modified(UtcDateTime::from_unix(stat.st_mtime))
        .unix_permissions(0o040_000 | (stat.st_mode & 0o777));
    entry.create().map_err(failed)?;
    Ok(())
}

fn file(
    zip: &mut ZipArchiveWriter<Pipe>,
    path: &[u8],
    stat: &Stat,
    mode: u32,
    packs: bool,
    length: u64,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let method = if packs { CompressionMethod::DEFLATE } else { CompressionMethod::STORE };
    let mut builder = zip
        .new_file(named(path))
        .compression_method(method)
        .last_modified(UtcDateTime::from_unix(stat.st_mtime))
        .unix_permissions(mode);
    if length >= FAR {
        let later = [0; 16];
        builder =
            builder.extra_field(ExtraFieldId::ZIP64, &later, Header::LOCAL).map_err(failed)?;
    }
    let (mut entry, config) = builder.start().map_err(failed)?;
    let descriptor = if packs {
        let mut writer = config.wrap(DeflateEncoder::new(&mut entry, Compression::new(5)));
        write(&mut writer)?;
        let (encoder, descriptor) = writer.finish().map_err(failed)?;
        encoder.finish()?;
        descriptor
    } else {
        let mut writer = config.wrap(&mut entry);
        write(&mut writer)?;
        writer.finish().map_err(failed)?.1
    };
    entry.finish(descriptor).map_err(failed)?;
    Ok(())
}

/// A name as zip has it. The library cuts a name in UTF-8 at a colon, as if a drive stood before it, and
/// takes bytes as they are; then zip does not say that they are UTF-8, and readers go by their locale.
fn named(path: &[u8]) -> EntryPath<'_> {
    match std::str::from_utf8(path) {
        Ok(text) if !text.contains(':') => EntryPath::conformant(text),
        _ => EntryPath::verbatim(path),
    }
}

/// The path with no backslash in it, and whether that changed it: where backslashes part folders,
/// `..\x` would lead out.
fn fit(path: &[u8]) -> (Cow<'_, [u8]>, bool) {
    if !path.contains(&b'\\') {
        return (path.into(), false);
    }
    let mut fit = Vec::with_capacity(path.len() + 8);
    for byte in path {
        match byte {
            b'\\' => fit.extend_from_slice(b"%5C"),
            byte => fit.push(*byte),
        }
    }
    (fit.into(), true)
}

fn is_packed(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let Some(dot) = name.iter().rposition(|byte| *byte == b'.') else {
        return false;
    };
    let extension = String::from_utf8_lossy(&name[dot + 1..]).to_ascii_lowercase();
    PACKED.binary_search(&&*extension).is_ok()
}

fn failed(error: rawzip::Error) -> io::Error {
    match error.into_kind() {
        ErrorKind::IO(error) => error,
        kind => io::Error::other(rawzip::Error::from(kind)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_told_by_the_end_of_the_name() {
        assert!(PACKED.is_sorted());
        assert!(is_packed(b"a/b.JPG") && is_packed(b"x.tar.gz"));
        assert!(!is_packed(b"a.gz/readme") && !is_packed(b"zip") && !is_packed(b"a.txt"));
    }
}
