//! Encodings by name, and writing text in one.

use std::fmt;
use std::str::FromStr;

use encoding_rs::EncoderResult;

use crate::escape::Escaped;

/// A character encoding.
///
/// `FromStr` takes every label of the WHATWG's Encoding Standard, in any case, with blanks around
/// it; `Display` writes the encoding's own name. Some labels mean more than they say: `latin1` and
/// `ascii` are windows-1252, `gb2312` is GBK, `utf-16` is UTF-16LE. Those that the standard no
/// longer decodes (as `iso-2022-kr`) are not known here.
///
/// ```
/// use sockeye_wire::text::Encoding;
///
/// let encoding: Encoding = "gb2312".parse()?;
/// assert_eq!(encoding.to_string(), "GBK");
/// let mut wire = Vec::new();
/// encoding.encode("文件\r\n", &mut wire)?;
/// assert_eq!(wire, b"\xce\xc4\xbc\xfe\r\n");
/// assert_eq!(
///     "utf8x".parse::<Encoding>().unwrap_err().to_string(),
///     "encoding `utf8x`: no such name; did you mean utf-8, utf-16be or utf-16le?"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Encoding(pub(super) &'static encoding_rs::Encoding);

impl Encoding {
    /// UTF-8, which the default is too.
    pub const UTF_8: Encoding = Encoding(encoding_rs::UTF_8);

    /// All encodings, in the order of their names.
    pub const ALL: [Encoding; 39] = [
        Encoding(encoding_rs::BIG5),
        Encoding(encoding_rs::EUC_JP),
        Encoding(encoding_rs::EUC_KR),
        Encoding(encoding_rs::GB18030),
        Encoding(encoding_rs::GBK),
        Encoding(encoding_rs::IBM866),
        Encoding(encoding_rs::ISO_2022_JP),
        Encoding(encoding_rs::ISO_8859_2),
        Encoding(encoding_rs::ISO_8859_3),
        Encoding(encoding_rs::ISO_8859_4),
        Encoding(encoding_rs::ISO_8859_5),
        Encoding(encoding_rs::ISO_8859_6),
        Encoding(encoding_rs::ISO_8859_7),
        Encoding(encoding_rs::ISO_8859_8),
        Encoding(encoding_rs::ISO_8859_8_I),
        Encoding(encoding_rs::ISO_8859_10),
        Encoding(encoding_rs::ISO_8859_13),
        Encoding(encoding_rs::ISO_8859_14),
        Encoding(encoding_rs::ISO_8859_15),
        Encoding(encoding_rs::ISO_8859_16),
        Encoding(encoding_rs::KOI8_R),
        Encoding(encoding_rs::KOI8_U),
        Encoding(encoding_rs::MACINTOSH),
        Encoding(encoding_rs::SHIFT_JIS),
        Encoding(encoding_rs::UTF_8),
        Encoding(encoding_rs::UTF_16BE),
        Encoding(encoding_rs::UTF_16LE),
        Encoding(encoding_rs::WINDOWS_874),
        Encoding(encoding_rs::WINDOWS_1250),
        Encoding(encoding_rs::WINDOWS_1251),
        Encoding(encoding_rs::WINDOWS_1252),
        Encoding(encoding_rs::WINDOWS_1253),
        Encoding(encoding_rs::WINDOWS_1254),
        Encoding(encoding_rs::WINDOWS_1255),
        Encoding(encoding_rs::WINDOWS_1256),
        Encoding(encoding_rs::WINDOWS_1257),
        Encoding(encoding_rs::WINDOWS_1258),
        Encoding(encoding_rs::X_MAC_CYRILLIC),
        Encoding(encoding_rs::X_USER_DEFINED),
    ];

    /// The name the standard gives it, as `UTF-8` or `Shift_JIS`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// Appends `text` to `out` in this encoding, whole in itself: ISO-2022-JP, which switches
    /// between sets of characters, is back in its first one at the end. No byte order mark is
    /// added.
    ///
    /// UTF-16 is written as such, though the standard's encoder would make UTF-8 of it.
    ///
    /// # Errors
    ///
    /// If the encoding has no such character. Then `out` is as before.
    pub fn encode(self, text: &str, out: &mut Vec<u8>) -> Result<(), Unmappable> {
        if self.0 == encoding_rs::UTF_16LE {
            out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
            return Ok(());
        }
        if self.0 == encoding_rs::UTF_16BE {
            out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
            return Ok(());
        }
        let start = out.len();
        let mut encoder = self.0.new_encoder();
        let mut done = 0;
        loop {
            let rest = &text[done..];
            // Room for what every encoder may write at once, an escape sequence included.
            out.reserve(rest.len().saturating_add(16));
            let (result, read) =
                encoder.encode_from_utf8_to_vec_without_replacement(rest, out, true);
            done += read;
            match result {
                EncoderResult::InputEmpty => return Ok(()),
                EncoderResult::OutputFull => {}
                EncoderResult::Unmappable(reported) => {
                    out.truncate(start);
                    // ISO-2022-JP reports another character than the one that it can't encode.
                    let character = text[..done].chars().next_back().unwrap_or(reported);
                    let offset = done - character.len_utf8();
                    return Err(Unmappable { character, offset, encoding: self });
                }
            }
        }
    }
}

impl Default for Encoding {
    fn default() -> Encoding {
        Encoding::UTF_8
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Encoding {
    type Err = ParseEncodingError;

    fn from_str(label: &str) -> Result<Encoding, ParseEncodingError> {
        encoding_rs::Encoding::for_label_no_replacement(label.as_bytes())
            .map(Encoding)
            .ok_or_else(|| ParseEncodingError { given: label.to_owned() })
    }
}

/// No encoding has this name; says which names are near.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "encoding `{}`: no such name; did you mean {}?",
    Escaped(given.as_bytes()),
    nearest(given)
)]
pub struct ParseEncodingError {
    given: String,
}

/// A character that the encoding does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "byte {offset} of the text: {encoding} has no `{}` (U+{:04X}); leave it out, or take utf-8",
    Escaped(character.encode_utf8(&mut [0; 4]).as_bytes()),
    u32::from(*character)
)]
pub struct Unmappable {
    /// The character.
    pub character: char,
    /// Where it begins, in bytes of the text (UTF-8).
    pub offset: usize,
    /// The encoding that lacks it.
    pub encoding: Encoding,
}

/// The three names most like the given one, with the labels that people write most.
fn nearest(given: &str) -> String {
    let given = given.to_ascii_lowercase();
    let names = Encoding::ALL.iter().map(|encoding| encoding.name().to_ascii_lowercase());
    let usual = ["ascii", "gb2312", "latin1", "sjis"].map(str::to_owned);
    let mut names: Vec<(f64, String)> =
        names.chain(usual).map(|name| (strsim::jaro_winkler(&given, &name), name)).collect();
    names.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    format!("{}, {} or {}", names[0].1, names[1].1, names[2].1)
}
