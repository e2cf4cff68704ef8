//! Upload-Metadata: pairs of a key and a value in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use sockeye_http::StatusCode;

use super::super::names::last_segment;
use super::super::refusal::Refusal;

/// What a client says of a file.
pub(super) struct Metadata {
    text: Option<String>,
    name: Option<Vec<u8>>,
}

impl Metadata {
    pub(super) fn of(headers: &HeaderMap) -> Result<Metadata, Refusal> {
        let bad = || Refusal::new(StatusCode::BAD_REQUEST, "Upload-Metadata can't be read");
        let mut values = headers.get_all(super::METADATA).iter();
        let Some(text) = values.next() else { return Ok(Metadata { text: None, name: None }) };
        let text = text.to_str().map_err(|_| bad())?;
        if values.next().is_some() {
            return Err(bad());
        }
        let mut name: Option<(&str, Vec<u8>)> = None;
        let mut keys = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, encoded) = pair.split_once(' ').unwrap_or((pair, ""));
            if keys.contains(&key) {
                return Err(bad());
            }
            keys.push(key);
            let value = STANDARD.decode(encoded.trim()).map_err(|_| bad())?;
            // `filename` is what most clients say; some say `name`.
            match (key, &name) {
                ("filename", _) | ("name", None) if !value.is_empty() => name = Some((key, value)),
                _ => {}
            }
        }
        Ok(Metadata { text: Some(text.to_owned()), name: name.map(|(_, name)| name) })
    }

    /// As it was sent.
    pub(super) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// What the file is to be called: the last segment of what the client calls it.
    pub(super) fn file_name(&self) -> Option<&[u8]> {
        self.name.as_deref().map(last_segment)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn name(text: &'static str) -> Option<Option<String>> {
        let headers = [(super::super::METADATA, HeaderValue::from_static(text))];
        let metadata = Metadata::of(&headers.into_iter().collect()).ok()?;
        Some(metadata.file_name().map(|name| String::from_utf8_lossy(name).into_owned()))
    }

    #[test]
    fn a_name_is_found_and_stripped() {
        for (text, expected) in [
            ("", Some(None)),
            ("filename YS50eHQ=", Some(Some("a.txt"))),
            ("is_confidential,filename YS50eHQ=,name Yg==", Some(Some("a.txt"))),
            ("name Yg==, filename YS50eHQ=", Some(Some("a.txt"))),
            ("name Yg==", Some(Some("b"))),
            ("filename Li4vLi4vZXRjL3Bhc3N3ZA==", Some(Some("passwd"))),
            ("filename !", None),
            ("filename YQ==,filename Yg==", None),
            ("filename YQ== x", None),
        ] {
            assert_eq!(name(text), expected.map(|name| name.map(str::to_owned)), "{text}");
        }
    }
}
