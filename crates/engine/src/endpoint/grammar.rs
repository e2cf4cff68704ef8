//! From text to an endpoint: each part knows where in the text it stands, so that an error can
//! point at it.

use std::ffi::OsString;
use std::fmt;
use std::net::Ipv6Addr;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt as _;

use crate::address::{PATH_MAX, UnixAddress};
use crate::socket_options::{OptionError, SocketOptions};

use super::{Endpoint, EndpointError, EndpointKind, Place, Port};

const WAY_IP: &str = "write tcp://HOST:PORT, an IPv6 address in brackets";
const WAY_UNIX: &str = "write unix:///PATH, or unix:@NAME for an abstract name";

/// The endpoint that a text means.
pub(super) fn parse(text: &str) -> Result<Endpoint, EndpointError> {
    let whole = Part { text, range: 0..text.len() };
    if text == "-" {
        return Ok(Endpoint { place: Place::Standard, options: SocketOptions::default() });
    }
    let (kind, rest) = scheme(&whole)?;
    let (rest, query) = match rest.split('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    let place = if kind.is_unix() { unix(kind, &rest)? } else { ip(kind, &rest)? };
    let mut options = SocketOptions::default();
    if let Some(query) = query {
        self::query(kind, &query, &mut options)?;
    }
    Ok(Endpoint { place, options })
}

/// A part of the text.
#[derive(Clone)]
struct Part<'a> {
    /// The whole text.
    text: &'a str,
    range: Range<usize>,
}

impl<'a> Part<'a> {
    fn str(&self) -> &'a str {
        self.text.get(self.range.clone()).unwrap_or_default()
    }

    /// Of this part, in its own bytes.
    fn sub(&self, range: Range<usize>) -> Part<'a> {
        let start = self.range.start;
        Part { text: self.text, range: start + range.start..start + range.end }
    }

    fn from(&self, start: usize) -> Part<'a> {
        self.sub(start..self.str().len())
    }

    /// Before and behind the first such letter, which is ASCII.
    fn split(&self, letter: char) -> Option<(Part<'a>, Part<'a>)> {
        let at = self.str().find(letter)?;
        Some((self.sub(0..at), self.from(at + 1)))
    }

    /// The end of it, where something is missing.
    fn end(&self) -> Part<'a> {
        self.from(self.str().len())
    }

    fn letter(&self, at: usize) -> Part<'a> {
        let len =
            self.str().get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        self.sub(at..at + len)
    }

    fn wrong(&self, cause: impl Into<String>, way_out: impl Into<String>) -> EndpointError {
        EndpointError::new(self.text, self.range.clone(), cause, way_out)
    }
}

fn scheme<'a>(whole: &Part<'a>) -> Result<(EndpointKind, Part<'a>), EndpointError> {
    let text = whole.str();
    if let Some(at) = text.find(':') {
        let name = &text[..at];
        let kind = EndpointKind::ALL.into_iter().find(|kind| kind.scheme() == name);
        let behind = whole.from(at + 1);
        if let Some(kind) = kind.filter(|kind| kind.is_unix()) {
            let path = behind.str().strip_prefix("//");
            return Ok((kind, path.map_or(behind.clone(), |_| behind.from(2))));
        }
        if let Some(rest) = behind.str().strip_prefix("//") {
            let rest = behind.from(behind.str().len() - rest.len());
            return match kind {
                Some(kind) => Ok((kind, rest)),
                None => Err(unknown_scheme(&whole.sub(0..at))),
            };
        }
        // `udp:53` may be a host of that name; `udp:host:53` can't.
        if let Some(kind) = kind
            && behind.str().contains(':')
        {
            let way = format!("write {kind}://{}", behind.str());
            return Err(whole.sub(0..at + 1).wrong("behind the scheme, // is missing", way));
        }
    }
    Ok((EndpointKind::Tcp, whole.clone()))
}

fn unknown_scheme(name: &Part<'_>) -> EndpointError {
    const KNOWN: &str = "write tcp://, udp://, unix:, unix-dgram: or unix-seqpacket:";
    match name.str() {
        "tls" => name
            .wrong("tls:// is not there yet, it comes later", "write tcp:// to talk without TLS"),
        "http" | "https" => name.wrong(
            format!("{}:// is a web address and no socket", name.str()),
            "write tcp://HOST:PORT",
        ),
        other => {
            let known = EndpointKind::ALL.iter().map(|kind| kind.scheme());
            let way = nearest(other, known.filter(|name| *name != "-"))
                .map_or_else(|| KNOWN.to_owned(), |near| format!("did you mean {near}? {KNOWN}"));
            name.wrong(format!("{other:?} is no scheme"), way)
        }
    }
}

fn ip(kind: EndpointKind, rest: &Part<'_>) -> Result<Place, EndpointError> {
    let text = rest.str();
    let way = || WAY_IP.replace("tcp", kind.scheme());
    let (host, port) = if text.starts_with('[') {
        let Some(end) = text.find(']') else {
            return Err(rest.end().wrong("a ] is missing", way()));
        };
        let (host, behind) = (rest.sub(1..end), rest.from(end + 1));
        address_v6(&host, &way())?;
        match behind.str().strip_prefix(':') {
            Some(_) => (host, behind.from(1)),
            None => return Err(behind.wrong("a port is missing at its end", way())),
        }
    } else {
        let Some(colon) = text.rfind(':') else {
            return Err(rest.end().wrong("a port is missing at its end", way()));
        };
        let host = rest.sub(0..colon);
        if let Some(first) = host.str().find(':') {
            return Err(rest.sub(first..colon + 1).wrong("more than one colon", way()));
        }
        host_name(&host, rest.sub(colon..text.len()).str(), &way())?;
        (host, rest.from(colon + 1))
    };
    let port = self::port(&port, &way())?;
    Ok(Place::Ip { kind, host: host.str().to_owned(), port })
}

fn host_name(host: &Part<'_>, port: &str, way: &str) -> Result<(), EndpointError> {
    let fit = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    if host.str().is_empty() {
        // Elsewhere it means all networks, which nobody should get by leaving something out.
        let way =
            format!("write localhost{port} for this machine alone, 0.0.0.0{port} for all networks");
        return Err(host.wrong("the host is empty", way));
    }
    match host.str().find(|letter| !fit(letter)) {
        None => Ok(()),
        Some(at) if !host.letter(at).str().is_ascii() => Err(host
            .letter(at)
            .wrong("no host name has this character", "write the name in its ASCII form, xn--…")),
        Some(at) => Err(host.letter(at).wrong("no host name has this character", way)),
    }
}

fn address_v6(host: &Part<'_>, way: &str) -> Result<(), EndpointError> {
    let (address, zone) = match host.split('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (host.clone(), None),
    };
    let Ok(parsed) = address.str().parse::<Ipv6Addr>() else {
        return Err(address.wrong("what is in brackets is no IPv6 address", way));
    };
    let Some(zone) = zone else { return Ok(()) };
    // The name of an interface: any bytes but these (netdevice(7), IFNAMSIZ).
    let unfit = |letter: char| !letter.is_ascii_graphic() || "/:[]".contains(letter);
    if zone.str().is_empty() || zone.str().len() > 15 || zone.str().contains(unfit) {
        let way = "write the interface's name behind %, as in [fe80::1%eth0]:80 (see: ip link)";
        return Err(zone.wrong("no interface has this name", way));
    }
    if !parsed.is_unicast_link_local() && !parsed.is_multicast() {
        let way = "only link-local addresses (fe80::) and groups have one; leave it out";
        return Err(zone.wrong("this address has no zone", way));
    }
    Ok(())
}

fn port(port: &Part<'_>, way: &str) -> Result<Port, EndpointError> {
    let text = port.str();
    if text.is_empty() {
        return Err(port.wrong("a port is missing at its end", way));
    }
    // A leading sign would parse as a number.
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let number = text.parse().map(Port::Number);
        return number.map_err(|_| port.wrong(format!("{text} is no port (0 to 65535)"), way));
    }
    // RFC 6335 §5.1, and the underscores of older names.
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.bytes().all(fit) && text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return Ok(Port::Service(text.to_owned()));
    }
    Err(port.wrong(format!("{text:?} is no port (0 to 65535), nor a service's name"), way))
}

fn unix(kind: EndpointKind, rest: &Part<'_>) -> Result<Place, EndpointError> {
    let way = || WAY_UNIX.replace("unix", kind.scheme());
    // `unix://@x` is a path: an abstract name has no slashes before it.
    let is_abstract = rest.text.as_bytes().get(rest.range.start - 1) == Some(&b':')
        && rest.str().starts_with('@');
    let name = if is_abstract { rest.from(1) } else { rest.clone() };
    let bytes = decode(&name)?;
    match bytes.len() {
        0 => return Err(name.wrong("the name is empty", way())),
        1..=PATH_MAX => {}
        _ => return Err(name.wrong(format!("the name has more than {PATH_MAX} bytes"), way())),
    }
    if is_abstract {
        return Ok(Place::Unix { kind, name: UnixAddress::Abstract(bytes) });
    }
    if bytes.contains(&0) {
        return Err(name.wrong("no path has a zero byte", way()));
    }
    Ok(Place::Unix { kind, name: UnixAddress::Path(OsString::from_vec(bytes).into()) })
}

fn query(
    kind: EndpointKind,
    query: &Part<'_>,
    options: &mut SocketOptions,
) -> Result<(), EndpointError> {
    let mut rest = query.clone();
    let mut seen: Vec<&str> = Vec::new();
    loop {
        let (option, more) = match rest.split('&') {
            Some((option, more)) => (option, Some(more)),
            None => (rest.clone(), None),
        };
        let (name, value) = match option.split('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option.clone(), None),
        };
        if name.str().is_empty() {
            let way = "write ?NAME=VALUE&NAME=VALUE, as in ?nodelay&rcvbuf=64k";
            return Err(option.wrong("an option is missing here", way));
        }
        if seen.contains(&name.str()) && name.str() != "join" {
            return Err(name.wrong("this option is given twice", "leave one of them out"));
        }
        let text = match &value {
            Some(value) => match String::from_utf8(decode(value)?) {
                Ok(text) => Some(text),
                Err(_) => return Err(value.wrong("this is no text (UTF-8)", "write text")),
            },
            None => None,
        };
        options.set(kind, name.str(), text.as_deref()).map_err(|error| match error {
            OptionError::Name { cause, way_out } => name.wrong(cause, way_out),
            OptionError::Value { cause, way_out } => {
                // Without a value it is the name that lacks one.
                value.as_ref().map_or_else(|| option.clone(), Part::clone).wrong(cause, way_out)
            }
        })?;
        seen.push(name.str());
        match more {
            Some(more) => rest = more,
            None => return Ok(()),
        }
    }
}

/// Percent-decoded (RFC 3986 §2.1).
fn decode(part: &Part<'_>) -> Result<Vec<u8>, EndpointError> {
    let text = part.str();
    if let Some(at) = text.find(char::is_control) {
        let byte = text[at..].bytes().next().unwrap_or_default();
        let way = format!("write it as %{byte:02X}");
        return Err(part.letter(at).wrong("this is a control character", way));
    }
    let (mut bytes, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(byte) = text.as_bytes().get(at) {
        if *byte != b'%' {
            bytes.push(*byte);
            at += 1;
            continue;
        }
        let digits =
            text.get(at + 1..at + 3).filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => bytes.push(byte),
            None => {
                let way = "two hexadecimal digits are to follow; write the % itself as %25";
                return Err(part.letter(at).wrong("this % encodes nothing", way));
            }
        }
        at += 3;
    }
    Ok(bytes)
}

/// Bytes as [`decode`] reads them again: text as it is but for what the grammar takes for itself.
pub(crate) struct Encoded<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.utf8_chunks() {
            for letter in part.valid().chars() {
                if letter.is_control() || "%?&".contains(letter) {
                    let mut room = [0; 4];
                    percent(letter.encode_utf8(&mut room).as_bytes(), f)?;
                } else {
                    write!(f, "{letter}")?;
                }
            }
            percent(part.invalid(), f)?;
        }
        Ok(())
    }
}

fn percent(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "%{byte:02X}"))
}

/// The known name that somebody meant, if one is near enough.
pub(crate) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = |name: &&str| strsim::damerau_levenshtein(wrong, name);
    let best = known.min_by_key(near)?;
    // A third of its letters may be wrong; and a beginning is as good.
    let close = near(&best) <= best.len().div_ceil(3).min(3);
    (close || (wrong.len() >= 3 && best.starts_with(wrong))).then_some(best)
}
