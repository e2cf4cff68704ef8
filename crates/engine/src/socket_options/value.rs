//! Values of options: read from text, shown as text that is read again.
//!
//! Each type here is a way of writing; what it reads is put into the field of
//! [`SocketOptions`](super::SocketOptions).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Keepalive, LocalEnd, Owner};
use crate::address::{PATH_MAX, UnixAddress};
use crate::endpoint::{Encoded, EndpointKind};

/// A way of writing a value.
pub(super) trait Value {
    /// What it is to the socket.
    type Field;
    /// From what stands behind `=`, decoded.
    fn read(text: Option<&str>, kind: EndpointKind) -> Result<Self::Field, String>;
    /// With its `=`, encoded.
    fn show(field: &Self::Field) -> String;
}

fn needed(text: Option<&str>) -> Result<&str, String> {
    text.filter(|text| !text.is_empty()).ok_or_else(|| "a value is missing".to_owned())
}

/// On or off.
pub(super) struct Switch;

impl Value for Switch {
    type Field = bool;

    fn read(text: Option<&str>, _: EndpointKind) -> Result<bool, String> {
        match text {
            None | Some("on" | "1" | "true" | "yes") => Ok(true),
            Some("off" | "0" | "false" | "no") => Ok(false),
            Some(other) => Err(format!("{other:?} is neither on nor off")),
        }
    }

    fn show(on: &bool) -> String {
        if *on { String::new() } else { "=off".to_owned() }
    }
}

/// Bytes; the kernel's own field is an int.
pub(super) struct Size;

impl Value for Size {
    type Field = u32;

    fn read(text: Option<&str>, _: EndpointKind) -> Result<u32, String> {
        let text = needed(text)?;
        let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        let unit: u64 = match &text[digits.len()..] {
            "" | "B" => 1,
            "k" | "K" | "KiB" | "kiB" => 1 << 10,
            "M" | "MiB" => 1 << 20,
            "G" | "GiB" => 1 << 30,
            other => return Err(format!("{other:?} is no unit of size (k, M, G)")),
        };
        let number =
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u64>().ok());
        let Some(Some(number)) = number else { return Err(format!("{text:?} is no size")) };
        let bytes = number.checked_mul(unit).and_then(|bytes| u32::try_from(bytes).ok());
        match bytes {
            Some(0) => Err("a size is at least 1".to_owned()),
            // The kernel doubles it in an int.
            Some(bytes) if bytes <= MOST_BUFFER => Ok(bytes),
            _ => Err(format!("{text} is more than a socket can have (1G)")),
        }
    }

    fn show(bytes: &u32) -> String {
        for (unit, letter) in [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "k")] {
            if bytes.is_multiple_of(unit) {
                return format!("={}{letter}", bytes / unit);
            }
        }
        format!("={bytes}")
    }
}

const MOST_BUFFER: u32 = 1 << 30;

/// A number between two others.
fn number(text: Option<&str>, least: u32, most: u32) -> Result<u32, String> {
    let text = needed(text)?;
    let (digits, radix) = match text.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    // A leading sign would parse as a number.
    let fit = digits.chars().all(|letter| letter.is_digit(radix));
    match u32::from_str_radix(digits, radix) {
        Ok(number) if fit && (least..=most).contains(&number) => Ok(number),
        _ if fit && !digits.is_empty() => Err(format!("{text} is not in {least} to {most}")),
        _ => Err(format!("{text:?} is no number")),
    }
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $least:expr, $most:expr;)*) => {$(
        $(#[$doc])*
        pub(super) struct $name;

        impl Value for $name {
            type Field = $type;

            fn read(text: Option<&str>, _: EndpointKind) -> Result<$type, String> {
                let number = number(text, $least, $most)?;
                <$type>::try_from(number).map_err(|_| format!("{number} is too much"))
            }

            fn show(number: &$type) -> String {
                format!("={number}")
            }
        }
    )*};
}

numbers! {
    /// Any number, in hexadecimal behind `0x`.
    Number: u32, 0, u32::MAX;
    /// Routers to pass.
    Hops: u8, 1, 255;
    /// Eight bits.
    Byte: u8, 0, 255;
    /// Bytes of a segment (`TCP_MIN_MSS`, `MAX_TCP_WINDOW`).
    Mss: u16, 88, 32_767;
}

fn time(text: Option<&str>) -> Result<Duration, String> {
    let text = needed(text)?;
    humantime::parse_duration(text).map_err(|_| format!("{text:?} is no time (500ms, 15s, 2m)"))
}

fn show_time(time: Duration) -> String {
    // In one unit, as it is likely to have been written: 1500ms rather than 1s500ms.
    if time.subsec_millis() > 0 && time.subsec_nanos().is_multiple_of(1_000_000) {
        return format!("{}ms", time.as_millis());
    }
    humantime::format_duration(time).to_string().replace(' ', "")
}

/// Whole seconds; a bare number is one of seconds.
fn seconds(text: Option<&str>, least: u64, most: u64) -> Result<Duration, String> {
    let text = needed(text)?;
    let bare = text.bytes().all(|byte| byte.is_ascii_digit());
    let text = if bare { format!("{text}s") } else { text.to_owned() };
    let time = time(Some(&text))?;
    if time.subsec_nanos() != 0 {
        return Err(format!("{text} is not a whole number of seconds"));
    }
    if !(least..=most).contains(&time.as_secs()) {
        return Err(format!("{text} is not in {least}s to {most}s"));
    }
    Ok(time)
}

/// How long close waits: the kernel's own field is an int of seconds, which it turns into ticks.
pub(super) struct Seconds;

impl Value for Seconds {
    type Field = Duration;

    fn read(text: Option<&str>, _: EndpointKind) -> Result<Duration, String> {
        seconds(text, 0, 65_535)
    }

    fn show(time: &Duration) -> String {
        format!("={}s", time.as_secs())
    }
}

/// Whole milliseconds, at least one.
pub(super) struct Millis;

impl Value for Millis {
    type Field = Duration;

    fn read(text: Option<&str>, _: EndpointKind) -> Result<Duration, String> {
        let time = time(text)?;
        if time.is_zero() || time.subsec_nanos() % 1_000_000 != 0 {
            return Err("a whole number of milliseconds is needed, at least 1ms".to_owned());
        }
        if time.as_millis() > i32::MAX as u128 {
            return Err(format!("{} is more than 24 days", show_time(time)));
        }
        Ok(time)
    }

    fn show(time: &Duration) -> String {
        format!("={}", show_time(*time))
    }
}

/// Any time but none.
pub(super) struct Patience;

impl Value for Patience {
    type Field = Duration;

    fn read(text: Option<&str>, _: EndpointKind) -> Result<Duration, String> {
        match time(text)? {
            Duration::ZERO => Err("more than no time is needed".to_owned()),
            time => Ok(time),
        }
    }

    fn show(time: &Duration) -> String {
        format!("={}", show_time(*time))
    }
}

/// `off`, or up to three numbers with commas.
pub(super) struct Keep;

impl Value for Keep {
    type Field = Keepalive;

    fn read(text: Option<&str>, kind: EndpointKind) -> Result<Keepalive, String> {
        let Some(text) = text else { return Ok(Keepalive::On { idle: None, then: None }) };
        if let Ok(on) = Switch::read(Some(text), kind)
            && !text.starts_with(|letter: char| letter.is_ascii_digit())
        {
            return Ok(if on { Keepalive::On { idle: None, then: None } } else { Keepalive::Off });
        }
        let parts: Vec<&str> = text.split(',').collect();
        let idle = seconds(parts.first().copied(), 1, MOST_KEEPALIVE)?;
        let then = match parts[..] {
            [_] => None,
            [_, interval, count] => {
                let count = number(Some(count), 1, 127)?;
                let count = u8::try_from(count).map_err(|_| "too many".to_owned())?;
                Some((seconds(Some(interval), 1, MOST_KEEPALIVE)?, count))
            }
            _ => return Err("one or three values are needed".to_owned()),
        };
        Ok(Keepalive::On { idle: Some(idle), then })
    }

    fn show(keepalive: &Keepalive) -> String {
        match keepalive {
            Keepalive::Off => "=off".to_owned(),
            Keepalive::On { idle: None, .. } => String::new(),
            Keepalive::On { idle: Some(idle), then: None } => format!("={}s", idle.as_secs()),
            Keepalive::On { idle: Some(idle), then: Some((interval, count)) } => {
                format!("={}s,{}s,{count}", idle.as_secs(), interval.as_secs())
            }
        }
    }
}

/// Seconds (`MAX_TCP_KEEPIDLE`).
const MOST_KEEPALIVE: u64 = 32_767;

/// A name that the kernel knows.
pub(super) struct Word;

impl Value for Word {
    type Field = String;

    fn read(text: Option<&str>, _: EndpointKind) -> Result<String, String> {
        let text = needed(text)?;
        // TCP_CA_NAME_MAX and IFNAMSIZ are 16, with the zero at the end.
        let fit =
            text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
        if fit { Ok(text.to_owned()) } else { Err(format!("{text:?} is no such name")) }
    }

    fn show(name: &String) -> String {
        format!("={}", Encoded(name.as_bytes()))
    }
}

/// The name of an interface.
pub(super) type Interface = Word;

/// Our own end.
pub(super) struct Local;

impl Value for Local {
    type Field = LocalEnd;

    fn read(text: Option<&str>, kind: EndpointKind) -> Result<LocalEnd, String> {
        let text = needed(text)?;
        if kind.is_unix() {
            let (name, bytes) = match text.strip_prefix('@') {
                Some(name) => (UnixAddress::Abstract(name.into()), name),
                None => (UnixAddress::Path(text.into()), text),
            };
            return match bytes.len() {
                1..=PATH_MAX if !text.contains('\0') => Ok(LocalEnd::Unix(name)),
                _ => Err(format!("{text:?} is no name of a Unix socket (1 to {PATH_MAX} bytes)")),
            };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(LocalEnd::Ip(Some(address.ip()), address.port()));
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(LocalEnd::Ip(Some(address), 0));
        }
        let port = text.strip_prefix(':').filter(|port| port.bytes().all(|b| b.is_ascii_digit()));
        match port.and_then(|port| port.parse().ok()) {
            Some(port) => Ok(LocalEnd::Ip(None, port)),
            None => Err(format!("{text:?} is no address of this machine")),
        }
    }

    fn show(local: &LocalEnd) -> String {
        match local {
            LocalEnd::Ip(None, port) => format!("=:{port}"),
            LocalEnd::Ip(Some(address), 0) => format!("={address}"),
            LocalEnd::Ip(Some(address), port) => format!("={}", SocketAddr::new(*address, *port)),
            LocalEnd::Unix(UnixAddress::Path(path)) => {
                format!("={}", Encoded(path.as_os_str().as_encoded_bytes()))
            }
            LocalEnd::Unix(UnixAddress::Abstract(name)) => format!("=@{}", Encoded(name)),
            LocalEnd::Unix(UnixAddress::Unnamed) => String::new(),
        }
    }
}

/// Permissions in octal.
pub(super) struct Mode;

impl Value for Mode {
    type Field = u32;

    fn read(text: Option<&str>, _: EndpointKind) -> Result<u32, String> {
        let text = needed(text)?;
        let octal = text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
        match u32::from_str_radix(text, 8) {
            Ok(mode) if octal && mode <= 0o777 => Ok(mode),
            _ => Err(format!("{text:?} are no permissions (0600, 0660, 0777)")),
        }
    }

    fn show(mode: &u32) -> String {
        format!("={mode:04o}")
    }
}

/// A user and a group.
pub(super) struct Whose;

impl Value for Whose {
    type Field = Owner;

    fn read(text: Option<&str>, _: EndpointKind) -> Result<Owner, String> {
        let text = needed(text)?;
        let (user, group) =
            text.split_once(':').map_or((text, None), |(user, group)| (user, Some(group)));
        let some = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let owner = Owner { user: some(user), group: group.and_then(some) };
        let fit = |name: &Option<String>| {
            name.iter().all(|name| {
                name.chars().all(|letter| !letter.is_control() && !":/ ".contains(letter))
            })
        };
        let empty = owner.user.is_none() && owner.group.is_none() || group == Some("");
        if empty || !fit(&owner.user) || !fit(&owner.group) {
            return Err(format!("{text:?} is no user and group"));
        }
        Ok(owner)
    }

    fn show(owner: &Owner) -> String {
        let user = owner.user.as_deref().unwrap_or_default();
        let group = owner.group.iter().map(|group| format!(":{group}")).collect::<String>();
        format!("={}", Encoded(format!("{user}{group}").as_bytes()))
    }
}

/// A multicast group (RFC 5771, RFC 4291 §2.7).
pub(super) fn group(text: Option<&str>) -> Result<IpAddr, String> {
    let text = needed(text)?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(group) if group.is_multicast() => Ok(group),
        Ok(_) => {
            Err(format!("{text} is no multicast group (224.0.0.0 to 239.255.255.255, ff00::)"))
        }
        Err(_) => Err(format!("{text:?} is no address")),
    }
}
