//! The content of small files with the heads that go before it, kept while the files stay the same.
//!
//! An entry is checked against the file again in each turn of the thread that uses it, so nobody is
//! answered with what had changed before the request was received, and under load one check serves
//! all requests that came in together.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::RandomState;
use sockeye_engine::Turn;
use sockeye_http::{Coding, EntityTag};

use super::lines::Lines;
use super::root::{Identity, Watch};

/// Files up to this size, in bytes, are kept; longer ones leave by `sendfile(2)`.
pub(super) const LARGEST: u64 = 64 * 1024;

/// What an entry costs besides its content, roughly.
const OVERHEAD: usize = 512;

/// Descriptors are for connections first.
const WATCHES: usize = 8;

pub(super) struct Cache {
    /// Only paths of files that exist get in here, so nobody can choose keys that collide.
    entries: HashMap<Arc<[u8]>, Entry, RandomState>,
    /// Order of arrival, for a second chance to those that were used since.
    order: VecDeque<Arc<[u8]>>,
    size: usize,
    limit: usize,
    /// Files that are kept open.
    watches: usize,
}

pub(super) struct Entry {
    pub(super) identity: Identity,
    pub(super) tag: EntityTag,
    pub(super) lines: Lines,
    pub(super) content: Bytes,
    /// A whole answer, head and content, with the second its Date is of: under load it is written
    /// once a second and sent as it stands.
    whole: Option<(i64, Bytes)>,
    /// The file itself, where that is the quickest way to tell.
    pub(super) watch: Option<Watch>,
    /// The file that was asked for, where this is the one beside it in another coding.
    pub(super) origin: Option<Identity>,
    /// What lay beside it in other codings, and when that was looked for.
    siblings: Option<(i64, Siblings)>,
    /// When it was last found to be the file's.
    checked: Option<Turn>,
    used: bool,
}

/// The codings in which a file lies beside itself, those first that are preferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Siblings {
    codings: [Option<Coding>; 3],
}

impl Entry {
    pub(super) fn new(
        identity: Identity,
        watch: Option<Watch>,
        tag: EntityTag,
        lines: Lines,
        content: Bytes,
    ) -> Entry {
        Entry {
            identity,
            watch,
            tag,
            lines,
            content,
            origin: None,
            siblings: None,
            whole: None,
            checked: None,
            used: false,
        }
    }

    /// As what lies beside the file `origin`, which it holds the content of.
    pub(super) fn beside(mut self, origin: Identity) -> Entry {
        self.origin = Some(origin);
        self
    }

    /// What lies beside it: `look` is asked once in a second.
    pub(super) fn siblings(
        &mut self,
        now: i64,
        look: impl FnOnce(&Identity) -> Siblings,
    ) -> Siblings {
        match self.siblings {
            Some((at, siblings)) if at == now => siblings,
            _ => {
                let siblings = look(&self.identity);
                self.siblings = Some((now, siblings));
                siblings
            }
        }
    }

    /// Whether it is still the file's: `check` is asked once in each turn of the thread.
    pub(super) fn is_fresh(&mut self, check: impl FnOnce(&Entry) -> bool) -> bool {
        let turn = sockeye_engine::turn();
        if turn.is_none() || self.checked != turn {
            self.checked = turn.filter(|_| check(self));
        }
        self.checked.is_some()
    }

    /// The whole answer for this second, which `write` writes if it is not there.
    pub(super) fn whole(&mut self, second: i64, write: impl FnOnce(&Entry) -> Vec<u8>) -> Bytes {
        if let Some((of, whole)) = &self.whole
            && *of == second
        {
            return Bytes::clone(whole);
        }
        let whole = Bytes::from(write(self));
        self.whole = Some((second, Bytes::clone(&whole)));
        whole
    }

    fn cost(&self, path: &[u8]) -> usize {
        2 * self.content.len() + self.lines.len() + path.len() + OVERHEAD
    }
}

impl Siblings {
    /// Those of which `is_there` says so.
    pub(super) fn find(is_there: impl Fn(Coding) -> bool) -> Siblings {
        Siblings { codings: Coding::ALL.map(|coding| is_there(coding).then_some(coding)) }
    }

    pub(super) fn remove(&mut self, coding: Coding) {
        for place in &mut self.codings {
            *place = place.filter(|other| *other != coding);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Coding> {
        self.codings.iter().flatten().copied()
    }
}

impl Cache {
    /// A cache of about `limit` bytes.
    pub(super) fn new(limit: usize) -> Cache {
        Cache { entries: HashMap::default(), order: VecDeque::new(), size: 0, limit, watches: 0 }
    }

    pub(super) fn get(&mut self, path: &[u8]) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(path)?;
        entry.used = true;
        Some(entry)
    }

    pub(super) fn insert(&mut self, path: &[u8], mut entry: Entry) {
        self.remove(path);
        let cost = entry.cost(path);
        while self.size + cost > self.limit {
            let Some(oldest) = self.order.pop_front() else { return };
            let used =
                self.entries.get_mut(&oldest).is_some_and(|entry| std::mem::take(&mut entry.used));
            if used {
                self.order.push_back(oldest);
            } else {
                self.forget(&oldest);
            }
        }
        if self.watches >= WATCHES {
            entry.watch = None;
        }
        self.watches += usize::from(entry.watch.is_some());
        let path: Arc<[u8]> = path.into();
        self.size += cost;
        self.order.push_back(Arc::clone(&path));
        self.entries.insert(path, entry);
    }

    pub(super) fn remove(&mut self, path: &[u8]) {
        if self.entries.contains_key(path) {
            self.order.retain(|other| **other != *path);
            self.forget(path);
        }
    }

    fn forget(&mut self, path: &[u8]) {
        if let Some(entry) = self.entries.remove(path) {
            self.size -= entry.cost(path);
            self.watches -= usize::from(entry.watch.is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use sockeye_http::FileStamp;

    use super::super::lines::About;
    use super::super::root::{Found, Root};
    use super::super::{SiteOptions, files};
    use super::*;

    const LIMIT: usize = 64 * 1024;

    fn identity() -> Identity {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("f"), b"").expect("room");
        let root = Root::open(folder.path(), files::Symlinks::Beneath, Box::new(|_| ()))
            .expect("it is there");
        match root.find(b"f") {
            Ok(Found::File(opened)) => opened.identity,
            _ => panic!("it is a file"),
        }
    }

    fn insert(cache: &mut Cache, path: &str, identity: Identity, content: usize) {
        let tag = EntityTag::of_file(&FileStamp::default(), 2);
        let about = About {
            path: b"f",
            identity: &identity,
            tag: &tag,
            coding: Coding::Identity,
            length: Some(content as u64),
        };
        let lines = Lines::new(&SiteOptions::default(), &about, 2);
        cache.insert(
            path.as_bytes(),
            Entry::new(identity, None, tag, lines, vec![0; content].into()),
        );
        let cost: usize = cache.entries.iter().map(|(path, entry)| entry.cost(path)).sum();
        assert_eq!((cache.size, cache.order.len()), (cost, cache.entries.len()));
        assert!(cache.size <= LIMIT);
    }

    #[test]
    fn a_cache_stays_within_its_bound_and_keeps_what_is_used() {
        let (mut cache, identity) = (Cache::new(LIMIT), identity());
        insert(&mut cache, "used", identity, 1000);
        for number in 0..10_000 {
            insert(&mut cache, &number.to_string(), identity, number % 3000);
            assert!(cache.get(b"used").is_some(), "after {number}");
        }
        assert!(cache.get(b"0").is_none());
        assert!(cache.get(b"9999").is_some());
    }

    #[test]
    fn an_entry_that_is_replaced_or_removed_leaves_nothing_behind() {
        let (mut cache, identity) = (Cache::new(LIMIT), identity());
        for content in [10, 5000, 0, 20] {
            insert(&mut cache, "one", identity, content);
            insert(&mut cache, "two", identity, content);
            assert_eq!(cache.get(b"one").expect("it was put in").content.len(), content);
        }
        cache.remove(b"one");
        cache.remove(b"two");
        cache.remove(b"none");
        assert_eq!((cache.size, cache.order.len(), cache.entries.len()), (0, 0, 0));
    }

    #[test]
    fn what_is_larger_than_the_cache_does_not_get_in() {
        let (mut cache, identity) = (Cache::new(LIMIT), identity());
        insert(&mut cache, "large", identity, LIMIT + 1);
        assert!(cache.get(b"large").is_none());
    }
}
