//! Room for the connections watched, with names that are never used twice.

/// Names one entry for ever: an entry that takes its place has another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    index: usize,
    serial: u64,
}

impl Name {
    /// A number that no other entry has, before or after.
    pub(super) fn serial(self) -> u64 {
        self.serial
    }
}

/// Entries by name.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<(u64, Box<T>)>>,
    free: Vec<usize>,
    serial: u64,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Slab<T> {
        Slab { places: Vec::new(), free: Vec::new(), serial: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn insert(&mut self, entry: T) -> Name {
        self.serial += 1;
        let place = Some((self.serial, Box::new(entry)));
        let index = match self.free.pop() {
            Some(index) => {
                if let Some(free) = self.places.get_mut(index) {
                    *free = place;
                }
                index
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        };
        Name { index, serial: self.serial }
    }

    pub(super) fn get(&self, name: Name) -> Option<&T> {
        match self.places.get(name.index)? {
            Some((serial, entry)) if *serial == name.serial => Some(entry),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, name: Name) -> Option<&mut T> {
        match self.places.get_mut(name.index)? {
            Some((serial, entry)) if *serial == name.serial => Some(entry),
            _ => None,
        }
    }

    pub(super) fn remove(&mut self, name: Name) -> Option<Box<T>> {
        self.get(name)?;
        let (_, entry) = self.places.get_mut(name.index)?.take()?;
        self.free.push(name.index);
        Some(entry)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Name, &mut T)> {
        self.places.iter_mut().enumerate().filter_map(|(index, place)| {
            let (serial, entry) = place.as_mut()?;
            Some((Name { index, serial: *serial }, &mut **entry))
        })
    }

    pub(super) fn named(&self) -> impl Iterator<Item = (Name, &T)> {
        self.places.iter().enumerate().filter_map(|(index, place)| {
            let (serial, entry) = place.as_ref()?;
            Some((Name { index, serial: *serial }, &**entry))
        })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.places.iter().flatten().map(|(_, entry)| &**entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_name_does_not_reach_what_took_its_place() {
        let mut slab = Slab::new();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first).as_deref(), Some(&"first"));
        let second = slab.insert("second");
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(second), Some(&mut "second"));
        assert_eq!((slab.len(), slab.iter().count()), (1, 1));
    }
}
