//! Keys, as terminals send them (ECMA-48 and xterm's control sequences).

use sockeye_eye::view::live::Key;

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressed {
    /// A key that the face knows.
    Key(Key),
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-Z.
    Suspend,
    /// Ctrl-L.
    Redraw,
}

/// Bytes that are no whole key yet.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    pending: Vec<u8>,
}

/// No sequence is longer; what is, is none.
const LONGEST: usize = 16;

impl Keys {
    /// Takes in what was read; the keys that are whole. What they don't know is left out.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Vec<Pressed> {
        self.pending.extend_from_slice(bytes);
        let mut keys = Vec::new();
        let mut rest = &self.pending[..];
        while let Some((key, length)) = first(rest) {
            keys.extend(key);
            rest = &rest[length..];
        }
        self.pending = rest.to_vec();
        keys
    }

    /// Nothing came for a while: an ESC that nothing follows is the key of this name.
    pub(crate) fn pause(&mut self) -> Option<Pressed> {
        let pending = std::mem::take(&mut self.pending);
        (pending == [ESC]).then_some(Pressed::Key(Key::Escape))
    }
}

const ESC: u8 = 0x1b;

/// The first key, if it is one that is known, and how many bytes it takes; `None` if more is to come.
fn first(bytes: &[u8]) -> Option<(Option<Pressed>, usize)> {
    let key = |key| Some((Some(Pressed::Key(key)), 1));
    match *bytes.first()? {
        ESC => sequence(bytes),
        3 => Some((Some(Pressed::Interrupt), 1)),
        12 => Some((Some(Pressed::Redraw), 1)),
        26 => Some((Some(Pressed::Suspend), 1)),
        b'\t' => key(Key::Tab),
        b'\r' | b'\n' => key(Key::Enter),
        8 | 127 => key(Key::Backspace),
        0..32 => Some((None, 1)),
        _ => letter(bytes),
    }
}

/// What begins with ESC.
fn sequence(bytes: &[u8]) -> Option<(Option<Pressed>, usize)> {
    let key = |key| Some(Pressed::Key(key));
    match *bytes.get(1)? {
        b'[' => {
            // CSI: parameters, and a final byte from @ to ~.
            let body = &bytes[2..];
            let Some(end) = body.iter().position(|byte| (0x40..0x7f).contains(byte)) else {
                return (body.len() >= LONGEST).then_some((None, bytes.len()));
            };
            let pressed = match (&body[..end], body[end]) {
                (_, b'A') => key(Key::Up),
                (_, b'B') => key(Key::Down),
                (_, b'H') | (b"1" | b"7", b'~') => key(Key::Home),
                (_, b'F') | (b"4" | b"8", b'~') => key(Key::End),
                (b"5", b'~') => key(Key::PageUp),
                (b"6", b'~') => key(Key::PageDown),
                (_, b'Z') => key(Key::BackTab),
                _ => None,
            };
            Some((pressed, 2 + end + 1))
        }
        b'O' => {
            let pressed = match *bytes.get(2)? {
                b'A' => key(Key::Up),
                b'B' => key(Key::Down),
                b'H' => key(Key::Home),
                b'F' => key(Key::End),
                _ => None,
            };
            Some((pressed, 3))
        }
        // Escape, and something else behind it.
        _ => Some((key(Key::Escape), 1)),
    }
}

/// A character of UTF-8 that can be shown.
fn letter(bytes: &[u8]) -> Option<(Option<Pressed>, usize)> {
    let length = match bytes[0] {
        0..0x80 => 1,
        0xc2..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..0xf5 => 4,
        _ => return Some((None, 1)),
    };
    let Some(whole) = bytes.get(..length) else {
        let cut = bytes[1..].iter().any(|byte| byte & 0xc0 != 0x80);
        return cut.then_some((None, 1));
    };
    match str::from_utf8(whole).ok().and_then(|text| text.chars().next()) {
        Some(letter) if !letter.is_control() => {
            Some((Some(Pressed::Key(Key::Letter(letter))), length))
        }
        Some(_) => Some((None, length)),
        None => Some((None, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Pressed> {
        let mut keys = Keys::default();
        let mut pressed = keys.take(bytes);
        pressed.extend(keys.pause());
        pressed
    }

    #[test]
    fn keys_are_what_terminals_send() {
        let key = Pressed::Key;
        for (bytes, pressed) in [
            (&b"\x1b[A\x1bOB\x1b[1;5A"[..], &[key(Key::Up), key(Key::Down), key(Key::Up)][..]),
            (b"\x1b[5~\x1b[6~", &[key(Key::PageUp), key(Key::PageDown)]),
            (b"\x1b[H\x1b[4~\x1bOF", &[key(Key::Home), key(Key::End), key(Key::End)]),
            (
                b"\t\x1b[Z\r\x7f",
                &[key(Key::Tab), key(Key::BackTab), key(Key::Enter), key(Key::Backspace)],
            ),
            (b"\x1b", &[key(Key::Escape)]),
            (b"\x1bq", &[key(Key::Escape), key(Key::Letter('q'))]),
            (b"\x03\x1a\x0c", &[Pressed::Interrupt, Pressed::Suspend, Pressed::Redraw]),
            ("é文".as_bytes(), &[key(Key::Letter('é')), key(Key::Letter('文'))]),
            (b"\x1b[99~\x01\xffq", &[key(Key::Letter('q'))]),
            (b"\xc2\x9bq", &[key(Key::Letter('q'))]),
        ] {
            assert_eq!(keys(bytes), pressed, "{bytes:?}");
        }
    }

    #[test]
    fn a_key_that_comes_in_pieces_is_one_key() {
        for bytes in [&b"\x1b[A"[..], b"\x1b[6~", b"\x1bOA", "文".as_bytes()] {
            let whole = keys(bytes);
            let mut pieces = Keys::default();
            let pressed: Vec<Pressed> =
                bytes.iter().flat_map(|byte| pieces.take(&[*byte])).collect();
            assert_eq!(pressed, whole, "{bytes:?}");
        }
    }

    #[test]
    fn a_sequence_without_an_end_is_given_up() {
        let mut keys = Keys::default();
        let mut endless = b"\x1b[".to_vec();
        endless.extend([b'1'; 1000]);
        assert_eq!(keys.take(&endless), []);
        assert_eq!(keys.take(b"q"), [Pressed::Key(Key::Letter('q'))]);
    }
}
