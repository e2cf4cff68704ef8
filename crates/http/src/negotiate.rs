//! Which of several representations a client likes best (RFC 9110 §12).

use std::fmt;

use crate::fields::{members, trim_ows};

/// A content coding this server may have a representation in (RFC 9110 §8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `br`: Brotli (RFC 7932).
    Brotli,
    /// `gzip` (RFC 1952).
    Gzip,
    /// None: the bytes as they are.
    Identity,
    /// `zstd` (RFC 8878).
    Zstd,
}

impl Coding {
    /// The codings that change the bytes, in the order they are preferred where a client does not
    /// care: what is smallest for text comes first.
    pub const ALL: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

    /// The token in Content-Encoding; identity is never written there (RFC 9110 §8.4.1).
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
            Coding::Identity => "identity",
            Coding::Zstd => "zstd",
        }
    }

    /// What is put behind a file's name for its content in this coding, the dot included; empty for
    /// identity.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Gzip => ".gz",
            Coding::Identity => "",
            Coding::Zstd => ".zst",
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}

/// What a client makes of each coding (RFC 9110 §12.5.3).
///
/// ```
/// use sockeye_http::negotiate::{AcceptEncoding, Coding};
/// let accepted = AcceptEncoding::read([&b"gzip, br;q=0.5"[..]]);
/// assert_eq!(accepted.choose(&[Coding::Brotli, Coding::Gzip]), Some(Coding::Gzip));
/// assert_eq!(accepted.choose(&[Coding::Brotli]), Some(Coding::Brotli));
/// assert_eq!(accepted.choose(&[Coding::Zstd]), Some(Coding::Identity));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptEncoding {
    brotli: Liking,
    gzip: Liking,
    identity: Liking,
    zstd: Liking,
}

/// Twice the thousandths of a quality value: 0 is "not at all", 1 is identity where nobody names it,
/// acceptable but less than anything that was asked for.
type Liking = u16;

const UNNAMED_IDENTITY: Liking = 1;

impl AcceptEncoding {
    /// No header, or an empty one: identity alone. A client without the header would have to take
    /// any coding, but most that leave it out understand none.
    pub const IDENTITY: AcceptEncoding =
        AcceptEncoding { brotli: 0, gzip: 0, identity: UNNAMED_IDENTITY, zstd: 0 };

    /// Reads all lines of the header, which together are one list. What is malformed in it is passed
    /// over; of a coding named twice the first counts.
    pub fn read<'b>(lines: impl IntoIterator<Item = &'b [u8]>) -> AcceptEncoding {
        let (mut brotli, mut gzip, mut identity, mut zstd, mut any) =
            (None, None, None, None, None);
        for member in lines.into_iter().flat_map(members) {
            let mut parts = member.split(|&b| b == b';').map(trim_ows);
            let name = parts.next().unwrap_or_default();
            let liking = match (parts.next(), parts.next()) {
                (None, _) => 2000,
                (Some(weight), None) => match read_weight(weight) {
                    Some(thousandths) => thousandths * 2,
                    None => continue,
                },
                _ => continue,
            };
            let place = if name.eq_ignore_ascii_case(b"br") {
                &mut brotli
            } else if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") {
                // x-gzip is the same (RFC 9110 §8.4.1.3).
                &mut gzip
            } else if name.eq_ignore_ascii_case(b"identity") {
                &mut identity
            } else if name.eq_ignore_ascii_case(b"zstd") {
                &mut zstd
            } else if name == b"*" {
                &mut any
            } else {
                continue;
            };
            place.get_or_insert(liking);
        }
        let or_any = |liking: Option<Liking>| liking.or(any).unwrap_or(0);
        AcceptEncoding {
            brotli: or_any(brotli),
            gzip: or_any(gzip),
            identity: identity.or(any).unwrap_or(UNNAMED_IDENTITY),
            zstd: or_any(zstd),
        }
    }

    /// Whether any coding but identity will do.
    #[must_use]
    pub fn takes_any(&self) -> bool {
        Coding::ALL.iter().any(|coding| self.accepts(*coding))
    }

    /// Whether the coding will do.
    #[must_use]
    pub fn accepts(&self, coding: Coding) -> bool {
        self.liking(coding) > 0
    }

    /// The best of `available` and identity, which is always there; of those liked alike the one
    /// that stands first, identity last. None if not even identity will do.
    #[must_use]
    pub fn choose(&self, available: &[Coding]) -> Option<Coding> {
        let mut best = (0, None);
        for coding in available.iter().copied().chain([Coding::Identity]) {
            let liking = self.liking(coding);
            if liking > best.0 {
                best = (liking, Some(coding));
            }
        }
        best.1
    }

    fn liking(&self, coding: Coding) -> Liking {
        match coding {
            Coding::Brotli => self.brotli,
            Coding::Gzip => self.gzip,
            Coding::Identity => self.identity,
            Coding::Zstd => self.zstd,
        }
    }
}

/// Which of the media types `offered` (`type/subtype`, the server's favourite first) a client with
/// these lines of Accept likes best (RFC 9110 §12.5.1). None if it takes none of them; without any
/// line it takes everything.
///
/// The most specific range that matches a type says how it is liked. A range with parameters of its
/// own is passed over, as nothing that is offered has any.
///
/// ```
/// use sockeye_http::negotiate::choose_type;
/// let offered = ["text/html", "application/json", "text/plain"];
/// assert_eq!(choose_type([&b"application/json"[..]], &offered), Some(1));
/// assert_eq!(choose_type([&b"text/html;q=0.1, */*"[..]], &offered), Some(1));
/// assert_eq!(choose_type([&b"*/*"[..]], &offered), Some(0));
/// assert_eq!(choose_type([], &offered), Some(0));
/// assert_eq!(choose_type([&b"image/png"[..]], &offered), None);
/// ```
pub fn choose_type<'b>(
    lines: impl IntoIterator<Item = &'b [u8]>,
    offered: &[&str],
) -> Option<usize> {
    // For each type how exactly it was named, 0 not at all, and the weight it has from there.
    let mut liked: Vec<(u8, u16)> = vec![(0, 0); offered.len()];
    let mut none = true;
    for member in lines.into_iter().flat_map(members).filter(|member| !member.is_empty()) {
        none = false;
        let mut parts = member.split(|&b| b == b';').map(trim_ows);
        let range = parts.next().unwrap_or_default();
        let weight = match (parts.next(), parts.next()) {
            (None, _) => Some(1000),
            (Some(weight), None) => read_weight(weight),
            _ => None,
        };
        let Some(weight) = weight else { continue };
        for (kind, liked) in offered.iter().zip(&mut liked) {
            let exactness = matches_range(range, kind);
            if exactness > liked.0 {
                *liked = (exactness, weight);
            }
        }
    }
    if none {
        return (!offered.is_empty()).then_some(0);
    }
    let best = liked.iter().map(|(_, weight)| *weight).max().filter(|weight| *weight > 0)?;
    liked.iter().position(|(_, weight)| *weight == best)
}

/// 3 for `type/subtype`, 2 for `type/*`, 1 for `*/*`, 0 if it is none of these.
fn matches_range(range: &[u8], kind: &str) -> u8 {
    let major = kind.split('/').next().unwrap_or_default().as_bytes();
    if range == b"*/*" {
        1
    } else if range.eq_ignore_ascii_case(kind.as_bytes()) {
        3
    } else {
        let named =
            range.strip_suffix(b"/*").is_some_and(|named| named.eq_ignore_ascii_case(major));
        if named { 2 } else { 0 }
    }
}

/// `q=0.123` in thousandths (RFC 9110 §12.4.2): at most three digits behind the point, at most 1.
fn read_weight(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', whole @ (b'0' | b'1'), rest @ ..] = parameter else {
        return None;
    };
    let digits = match rest {
        [] => &[],
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut thousandths = u16::from(whole - b'0') * 1000;
    for (digit, worth) in digits.iter().zip([100, 10, 1]) {
        if !digit.is_ascii_digit() {
            return None;
        }
        thousandths += u16::from(digit - b'0') * worth;
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codings_are_chosen_by_weight_and_then_by_our_order() {
        use Coding::{Brotli, Gzip, Identity, Zstd};
        for (value, available, expected) in [
            ("gzip, deflate, br, zstd", &[Brotli, Zstd, Gzip][..], Some(Brotli)),
            ("gzip, deflate, br, zstd", &[Zstd, Gzip], Some(Zstd)),
            ("gzip, deflate, br, zstd", &[Gzip], Some(Gzip)),
            ("gzip, deflate, br, zstd", &[], Some(Identity)),
            ("gzip;q=0.9, br;q=0.8", &[Brotli, Gzip], Some(Gzip)),
            ("br;q=0.001", &[Brotli], Some(Brotli)),
            ("br;q=0", &[Brotli], Some(Identity)),
            ("br;q=0, *", &[Brotli, Gzip], Some(Gzip)),
            ("*", &[Brotli], Some(Brotli)),
            ("*;q=0", &[Brotli], None),
            ("*;q=0, gzip", &[Brotli, Gzip], Some(Gzip)),
            ("identity;q=0", &[Brotli], None),
            ("identity;q=0, gzip", &[Brotli], None),
            ("identity;q=0, gzip", &[Brotli, Gzip], Some(Gzip)),
            ("identity;q=0.5, gzip;q=0.4", &[Gzip], Some(Identity)),
            ("identity, gzip;q=0.5", &[Gzip], Some(Identity)),
            ("identity, gzip", &[Gzip], Some(Gzip)),
            ("*;q=0.5, identity;q=0.4", &[Zstd], Some(Zstd)),
            ("*;q=0.000, identity", &[Zstd], Some(Identity)),
            ("", &[Brotli, Gzip], Some(Identity)),
            ("X-GZip", &[Gzip], Some(Gzip)),
            ("GZIP ; Q=1.000", &[Gzip], Some(Gzip)),
            ("gzip\t;\tq=0.5 ,, br", &[Gzip], Some(Gzip)),
            // Passed over.
            ("gzip;q=1.001", &[Gzip], Some(Identity)),
            ("gzip;q=2", &[Gzip], Some(Identity)),
            ("gzip;q=0.0001", &[Gzip], Some(Identity)),
            ("gzip;q=-1", &[Gzip], Some(Identity)),
            ("gzip;q", &[Gzip], Some(Identity)),
            ("gzip;level=1", &[Gzip], Some(Identity)),
            ("gzip;q=1;q=1", &[Gzip], Some(Identity)),
            ("gzipped", &[Gzip], Some(Identity)),
            ("gzip, gzip;q=0", &[Gzip], Some(Gzip)),
            ("gzip;q=0, gzip", &[Gzip], Some(Identity)),
        ] {
            let accepted = AcceptEncoding::read([value.as_bytes()]);
            assert_eq!(accepted.choose(available), expected, "{value}");
        }
    }

    #[test]
    fn lines_of_one_header_are_one_list() {
        let accepted = AcceptEncoding::read([&b"br;q=0"[..], b"gzip"]);
        assert_eq!(accepted.choose(&Coding::ALL), Some(Coding::Gzip));
        assert_eq!(AcceptEncoding::read([]), AcceptEncoding::IDENTITY);
        assert_eq!(AcceptEncoding::read([&b""[..]]), AcceptEncoding::IDENTITY);
        assert!(!AcceptEncoding::IDENTITY.takes_any());
    }

    #[test]
    fn the_most_specific_media_range_counts() {
        const OFFERED: [&str; 3] = ["text/html", "application/json", "text/plain"];
        for (value, expected) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Some(0)),
            ("text/plain;q=0.5, text/html;q=0.4", Some(2)),
            ("text/*;q=0.5, application/json;q=0.4", Some(0)),
            ("*/*, text/html;q=0", Some(1)),
            ("text/*, text/html;q=0", Some(2)),
            ("TEXT/PLAIN", Some(2)),
            ("text/*;q=0, */*", Some(1)),
            ("*/*;q=0", None),
            ("text", None),
            ("text/htm", None),
            ("text/html;level=1", None),
            ("text/html;q=x", None),
        ] {
            assert_eq!(choose_type([value.as_bytes()], &OFFERED), expected, "{value}");
        }
        assert_eq!(choose_type([], &[]), None);
    }

    proptest! {
        #[test]
        fn what_is_chosen_is_accepted_and_nothing_is_liked_more(
            members in vec(("(br|gzip|zstd|identity|\\*|deflate)", 0..=1000u16), 0..6),
            available in prop::sample::subsequence(Coding::ALL.to_vec(), 0..=3),
        ) {
            let list: Vec<String> = members
                .iter()
                .map(|(name, weight)| format!("{name};q={}.{:03}", weight / 1000, weight % 1000))
                .collect();
            let accepted = AcceptEncoding::read([list.join(", ").as_bytes()]);
            match accepted.choose(&available) {
                None => {
                    prop_assert!(!accepted.accepts(Coding::Identity));
                    prop_assert!(available.iter().all(|coding| !accepted.accepts(*coding)));
                }
                Some(chosen) => {
                    prop_assert!(accepted.accepts(chosen));
                    prop_assert!(chosen == Coding::Identity || available.contains(&chosen));
                    for coding in available.iter().copied().chain([Coding::Identity]) {
                        prop_assert!(accepted.liking(coding) <= accepted.liking(chosen));
                    }
                }
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = AcceptEncoding::read([&bytes[..]]).choose(&Coding::ALL);
            let _ = choose_type([&bytes[..]], &["text/html"]);
        }
    }
}
