//! Request heads that came before, and the files they asked for.
//!
//! A client that stays asks with the same bytes again, but for the path. Reading a head is a pure
//! function of its bytes, so a head that is known need not be read again. Only heads of the
//! simplest kind get in here: GET, without a body, without conditions, on a connection that goes on.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use super::ledger::Written;

/// Places for heads; two that fall on the same one take turns.
const PLACES: usize = 256;

/// Longer heads, in bytes, are read each time.
const LONGEST: usize = 1024;

pub(super) struct Heads {
    places: Box<[Option<Known>]>,
    /// Peers choose what is hashed here, but a collision costs only a head read once more.
    state: foldhash::fast::RandomState,
}

struct Known {
    head: Box<[u8]>,
    path: Arc<[u8]>,
    /// The last second, Unix time, in which this holds.
    until: i64,
    /// What the log says of it.
    words: Written,
}

impl Heads {
    pub(super) fn new() -> Heads {
        let state = foldhash::fast::RandomState::default();
        Heads { places: (0..PLACES).map(|_| None).collect(), state }
    }

    /// The file that `bytes`, if they are one whole head that is known, ask for `now`, as the cache
    /// calls it, and what the log says of them.
    pub(super) fn find(&self, bytes: &[u8], now: i64) -> Option<(&Arc<[u8]>, &Written)> {
        if bytes.len() > LONGEST {
            return None;
        }
        let known = self.places[self.place(bytes)].as_ref()?;
        (*known.head == *bytes && now <= known.until).then_some((&known.path, &known.words))
    }

    /// Remembers that the head asks for this file, up to the second `until`.
    pub(super) fn remember(&mut self, head: &[u8], path: &[u8], until: i64, words: Written) {
        if head.len() <= LONGEST {
            let place = self.place(head);
            self.places[place] = Some(Known { head: head.into(), path: path.into(), until, words });
        }
    }

    fn place(&self, head: &[u8]) -> usize {
        usize::try_from(self.state.hash_one(head) % PLACES as u64).expect("below the length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_by_all_its_bytes_and_no_others() {
        let mut heads = Heads::new();
        let head = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
        heads.remember(head, b"a", 7, Written::default());
        assert_eq!(heads.find(head, 7).map(|(path, _)| &path[..]), Some(&b"a"[..]));
        assert!(heads.find(head, 8).is_none());
        assert!(heads.find(&head[..head.len() - 1], 7).is_none());
        assert!(heads.find(&[&head[..], b"G"].concat(), 7).is_none());
        assert!(heads.find(b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n", 7).is_none());
    }

    #[test]
    fn however_many_heads_come_the_memory_stays_bounded() {
        let mut heads = Heads::new();
        for number in 0..10 * PLACES {
            heads.remember(format!("GET /{number}").as_bytes(), b"x", 0, Written::default());
        }
        heads.remember(&[b'x'; LONGEST + 1], b"long", 0, Written::default());
        assert!(heads.find(&[b'x'; LONGEST + 1], 0).is_none());
        assert!(heads.places.iter().flatten().count() <= PLACES);
    }
}
