//! How the files of a site are named, typed and found.

use std::collections::BTreeMap;
use std::str::FromStr;

use sockeye_http::StatusCode;

use super::compress;

/// What of a folder is served as what.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names of the file that stands for its folder, the first that is there. Default `index.html`.
    pub index: Vec<String>,
    /// The file, beneath the root, that answers where nothing else is, for applications that draw all
    /// their pages in the browser. Paths whose last name has a dot in it are of files, and stay 404.
    /// Default none.
    pub fallback: Option<String>,
    /// Files, beneath the root, that are sent with a status of 400 and above. Default none.
    pub error_pages: BTreeMap<u16, String>,
    /// The charset that text is said to have; None says nothing. Default `utf-8`.
    pub charset: Option<String>,
    /// Serve names that begin with a dot. By default these are not there, but for `.well-known`
    /// (RFC 8615): a checkout's `.git` and a forgotten `.env` are what people lose secrets by.
    pub hidden: bool,
    /// What symbolic links are good for. Default [`Symlinks::Beneath`].
    pub symlinks: Symlinks,
    /// Send `FILE.br`, `FILE.zst` or `FILE.gz` in the place of a text `FILE`, if the client takes it and
    /// it is no older. Default yes.
    pub precompressed: bool,
    /// Compress text while it is sent. Default [`compress::Options::default`].
    pub compress: Option<compress::Options>,
}

/// What symbolic links are good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symlinks {
    /// They are followed as long as they stay beneath the root.
    #[default]
    Beneath,
    /// They are followed wherever they lead: whoever may write in the folder decides what is served.
    Follow,
    /// What is behind one is not there.
    Never,
}

/// A value that can't be understood. The user's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// No status, or one that is no error.
    #[error("'{0}' is no status of an error (give 404=PATH, from 400 to 599)")]
    Status(String),
    /// Not one of the three.
    #[error("'{0}' is no policy for symbolic links (give beneath, follow or never)")]
    Symlinks(String),
}

impl Default for Options {
    fn default() -> Options {
        Options {
            index: vec!["index.html".to_owned()],
            fallback: None,
            error_pages: BTreeMap::new(),
            charset: Some("utf-8".to_owned()),
            hidden: false,
            symlinks: Symlinks::default(),
            precompressed: true,
            compress: Some(compress::Options::default()),
        }
    }
}

impl Options {
    /// Whether something of this name, in whatever folder, is there for clients.
    #[must_use]
    pub fn shows(&self, name: &[u8]) -> bool {
        self.hidden || !name.starts_with(b".") || name == b".well-known"
    }

    /// Whether all names on the way are.
    pub(super) fn shows_path(&self, path: &[u8]) -> bool {
        self.hidden || path.split(|byte| *byte == b'/').all(|name| self.shows(name))
    }

    /// The file that answers where `path` names nothing.
    pub(super) fn fallback_of(&self, path: &[u8]) -> Option<&str> {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        self.fallback.as_deref().filter(|_| !name.contains(&b'.'))
    }

    /// Adds an error page, written `404=PATH`.
    ///
    /// # Errors
    /// [`FilesError::Status`].
    pub fn error_page(&mut self, text: &str) -> Result<(), FilesError> {
        let wrong = || FilesError::Status(text.to_owned());
        let (status, path) = text.split_once('=').ok_or_else(wrong)?;
        let status: StatusCode = status.parse().map_err(|_| wrong())?;
        if !status.is_client_error() && !status.is_server_error() || path.is_empty() {
            return Err(wrong());
        }
        self.error_pages.insert(status.as_u16(), path.trim_start_matches('/').to_owned());
        Ok(())
    }

    /// The media type of a file name, with the charset that text has here.
    pub(super) fn content_type(&self, name: &[u8]) -> String {
        let guess = media_type(name);
        let is_text = guess.starts_with("text/")
            || matches!(guess, "application/javascript" | "application/json" | "image/svg+xml");
        match &self.charset {
            Some(charset) if is_text => format!("{guess}; charset={charset}"),
            _ => guess.to_owned(),
        }
    }

    /// Whether clients may get a file of this name in other codings.
    pub(super) fn varies(&self, name: &[u8]) -> bool {
        (self.precompressed || self.compress.is_some()) && is_compressible(media_type(name))
    }
}

fn media_type(name: &[u8]) -> &'static str {
    let name = String::from_utf8_lossy(name);
    mime_guess::from_path(&*name).first_raw().unwrap_or("application/octet-stream")
}

/// Whether there is much to gain. What has no type of its own is left alone: it is as likely an
/// archive, and one who downloads it wants just these bytes.
fn is_compressible(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || media_type.ends_with("+xml")
        || media_type.ends_with("+json")
        || matches!(
            media_type,
            "application/javascript"
                | "application/json"
                | "application/vnd.ms-fontobject"
                | "application/wasm"
                | "application/xml"
                | "font/otf"
                | "font/ttf"
                | "image/bmp"
                | "image/x-icon"
        )
}

impl FromStr for Symlinks {
    type Err = FilesError;

    fn from_str(text: &str) -> Result<Symlinks, FilesError> {
        match text {
            "beneath" => Ok(Symlinks::Beneath),
            "follow" => Ok(Symlinks::Follow),
            "never" => Ok(Symlinks::Never),
            _ => Err(FilesError::Symlinks(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_follow_the_name_and_text_is_utf_8() {
        let options = Options::default();
        for (name, expected) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.PNG", "image/png"),
            ("名 ü.txt", "text/plain; charset=utf-8"),
            ("Makefile", "application/octet-stream"),
            ("a.js", "text/javascript; charset=utf-8"),
        ] {
            assert_eq!(options.content_type(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(options.content_type(b"\xff.css"), "text/css; charset=utf-8");
        let options = Options { charset: None, ..options };
        assert_eq!(options.content_type(b"a.css"), "text/css");
    }

    #[test]
    fn names_with_a_dot_before_them_are_not_there() {
        let options = Options::default();
        for path in ["", "a", "a/b.c", ".well-known/acme", "a..b", "..."] {
            assert_eq!(options.shows_path(path.as_bytes()), path != "...", "{path}");
        }
        for path in [".git/config", "a/.env", "a/.b/c"] {
            assert!(!options.shows_path(path.as_bytes()), "{path}");
            assert!(Options { hidden: true, ..Options::default() }.shows_path(path.as_bytes()));
        }
    }

    #[test]
    fn a_fallback_stands_for_pages_and_not_for_files() {
        let options = Options { fallback: Some("index.html".to_owned()), ..Options::default() };
        for path in ["app", "app/7", "v1.2/page"] {
            assert_eq!(options.fallback_of(path.as_bytes()), Some("index.html"), "{path}");
        }
        for path in ["app.js", "assets/logo.png"] {
            assert_eq!(options.fallback_of(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn error_pages_are_of_errors() {
        let mut options = Options::default();
        assert_eq!(options.error_page("404=/e/404.html"), Ok(()));
        assert_eq!(options.error_pages.get(&404).map(String::as_str), Some("e/404.html"));
        for text in ["200=a", "404", "404=", "x=a", "1000=a"] {
            assert_eq!(options.error_page(text), Err(FilesError::Status(text.to_owned())));
        }
    }
}
