//! Addresses from their text, which is what [`Address`] shows: an endpoint's spelling.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use sockeye_engine::{Address, UnixAddress};

/// The address that is written so; `None` for text that none is.
pub(super) fn read(text: &str) -> Option<Address> {
    let Some(name) = text.strip_prefix("unix:") else {
        return text.parse().ok().map(Address::Ip);
    };
    if name.is_empty() {
        return Some(Address::Unix(UnixAddress::Unnamed));
    }
    Some(Address::Unix(match (name.strip_prefix('@'), name.strip_prefix("//")) {
        (Some(name), _) => UnixAddress::Abstract(unescaped(name)?),
        (None, Some(path)) => {
            UnixAddress::Path(PathBuf::from(OsString::from_vec(unescaped(path)?)))
        }
        (None, None) => return None,
    }))
}

/// The bytes behind Rust's escapes; `None` if one of them is none.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            push(&mut bytes, letter);
            continue;
        }
        match letters.next()? {
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            '0' => bytes.push(0),
            'x' => {
                let digits = letters.as_str().get(..2)?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                letters = letters.as_str().get(2..)?.chars();
            }
            'u' => {
                let (digits, rest) = letters.as_str().strip_prefix('{')?.split_once('}')?;
                push(&mut bytes, char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                letters = rest.chars();
            }
            same @ ('\\' | '\'' | '"') => push(&mut bytes, same),
            _ => return None,
        }
    }
    Some(bytes)
}

fn push(bytes: &mut Vec<u8>, letter: char) {
    bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr, SocketAddrV6};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn any_address() -> impl Strategy<Value = Address> {
        let ip = (any::<IpAddr>(), any::<u16>()).prop_map(Address::from);
        let scoped = any::<([u16; 8], u16, u32)>().prop_map(|(parts, port, scope)| {
            Address::Ip(SocketAddr::V6(SocketAddrV6::new(parts.into(), port, 0, scope)))
        });
        let bytes =
            || prop_oneof![vec(any::<u8>(), 1..108), "\\PC{1,20}".prop_map(String::into_bytes)];
        let path = bytes().prop_map(|bytes| Address::path(OsString::from_vec(bytes)));
        let abstracted = bytes().prop_map(Address::abstract_name);
        prop_oneof![ip, scoped, path, abstracted, Just(Address::Unix(UnixAddress::Unnamed)),]
    }

    proptest! {
        #[test]
        fn an_address_comes_out_as_it_went_in(address in any_address()) {
            prop_assert_eq!(read(&address.to_string()), Some(address));
        }

        #[test]
        fn any_text_is_read_without_panic(text in "(unix:(@|//)?)?[\\\\xu{}0-9a-f\\PC]{0,20}") {
            let _ = read(&text);
        }
    }
}
