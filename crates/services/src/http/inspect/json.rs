//! A request as JSON. Its shape is that of [`Arrived`], and part of what users rely on.

use std::fmt::Write as _;

use serde::Serialize;
use sockeye_wire::escape::is_obeyed;

use super::arrived::Arrived;

pub(super) fn write(arrived: &Arrived) -> String {
    let mut json = Vec::with_capacity(4096);
    let mut serializer = serde_json::Serializer::pretty(&mut json);
    if arrived.serialize(&mut serializer).is_err() {
        // Keys are strings and a Vec takes all, so nothing can fail.
        return "{}\n".to_owned();
    }
    let mut out = String::with_capacity(json.len() + 1);
    for character in String::from_utf8_lossy(&json).chars() {
        // Outside of strings there is but ASCII, and within an escape stands for the same.
        if character != '\n' && is_obeyed(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(character);
        }
    }
    out.push('\n');
    out
}
