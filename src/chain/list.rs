use super::slab::Slab;

/// Sentinel for no item.
const NONE: u32 = u32::MAX;

/// An intrusive doubly linked list over the items of a slab: removal from the middle needs no search, and an item costs
/// only its two links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    pub first: u32,
    last: u32,
    pub len: u32,
}

/// The previous and next item of an item in a [`List`]; [`NONE`] at its ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    before: u32,
    after: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { first: NONE, last: NONE, len: 0 }
    }
}

impl Default for Links {
    fn default() -> Self {
        Self { before: NONE, after: NONE }
    }
}

impl List {
    /// Appends an item. `links` returns an item's links for this list.
    pub(super) fn push<T>(&mut self, items: &mut Slab<T>, item: u32, links: fn(&mut T) -> &mut Links) {
        if let Some(new) = items.get_mut(item) {
            *links(new) = Links { before: self.last, after: NONE };
        }
        match items.get_mut(self.last) {
            Some(last) => links(last).after = item,
            None => self.first = item,
        }
        self.last = item;
        self.len += 1;
    }

    /// Unlinks an item of the list that has already been removed from the slab.
    pub(super) fn unlink<T>(&mut self, items: &mut Slab<T>, item: Links, links: fn(&mut T) -> &mut Links) {
        match items.get_mut(item.before) {
            Some(before) => links(before).after = item.after,
            None => self.first = item.after,
        }
        match items.get_mut(item.after) {
            Some(after) => links(after).before = item.before,
            None => self.last = item.before,
        }
        debug_assert!(self.len > 0, "an item of the list is in it");
        self.len -= 1;
    }

    /// The items from the first to the last.
    pub(super) fn iter<T>(&self, items: &Slab<T>, links: fn(&T) -> &Links) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(self.first), move |item| items.get(*item).map(|item| links(item).after))
            .take(self.len as usize)
    }

    /// The items from the first to the last. Panics if the links do not agree.
    pub(super) fn check<T>(&self, items: &Slab<T>, links: fn(&T) -> &Links) -> Vec<u32> {
        let (mut all, mut before, mut at) = (Vec::new(), NONE, self.first);
        while let Some(item) = items.get(at) {
            assert_eq!(links(item).before, before, "neighbours point at each other");
            all.push(at);
            assert!(all.len() <= self.len as usize, "the list does not run in a circle");
            (before, at) = (at, links(item).after);
        }
        assert_eq!((at, before, all.len()), (NONE, self.last, self.len as usize), "the list ends with its last item");
        all
    }
}
