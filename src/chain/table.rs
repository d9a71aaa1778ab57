/// A hash table of small `Copy` entries with little overhead at every size.
///
/// A table with open addressing is half empty right after it has grown; with a million entries, the empty half costs
/// more than the rest. Here the high bits of the hash select a page, a short list that grows by a few places. A lookup
/// scans about twenty adjacent entries.
#[derive(Clone, Debug)]
pub(super) struct Table<T> {
    /// Indexed by the high bits of the hash; their number is a power of two.
    pages: Vec<Vec<T>>,
    len: usize,
}

/// An entry of a [`Table`].
pub(super) trait Hashed: Copy {
    /// A hash whose high bits are well distributed: they select the page.
    fn hash(&self) -> u64;
}

/// The hash of an entry that stores only 32 bits of it, as the high bits.
pub(super) fn high_bits(kept: u32) -> u64 {
    u64::from(kept) << 32
}

/// An event id is its own hash: it is a keyed hash already.
impl Hashed for u64 {
    fn hash(&self) -> u64 {
        *self
    }
}

/// Average entries per page above which the number of pages doubles.
const MAX_LOAD: usize = 32;

/// Places by which a page grows.
const GROWTH: usize = 4;

/// Bytes per entry besides the entry: its share of the page header and of the empty places.
pub(super) const OVERHEAD: usize = 2;

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

impl<T: Hashed> Table<T> {
    fn page_of(&self, hash: u64) -> usize {
        page(hash, self.pages.len())
    }

    /// The first entry in the page of `hash` for which `is` holds.
    pub(super) fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&T> {
        self.pages.get(self.page_of(hash))?.iter().find(|entry| is(entry))
    }

    /// Like [`Self::find`], but mutable. The caller must not change the hash of the entry.
    pub(super) fn find_mut(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&mut T> {
        let page = self.page_of(hash);
        self.pages.get_mut(page)?.iter_mut().find(|entry| is(entry))
    }

    /// Inserts an entry, without a check for duplicates.
    pub(super) fn insert(&mut self, entry: T) {
        if self.len >= self.pages.len() * MAX_LOAD {
            self.grow_to(self.pages.len() * 2);
        }
        let page = self.page_of(entry.hash());
        if let Some(page) = self.pages.get_mut(page) {
            push(page, entry);
            self.len += 1;
        }
    }

    /// Removes the first entry in the page of `hash` for which `is` holds.
    pub(super) fn remove(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> Option<T> {
        let page = self.page_of(hash);
        let page = self.pages.get_mut(page)?;
        let place = page.iter().position(is)?;
        let entry = page.swap_remove(place);
        if page.capacity() - page.len() > 2 * GROWTH {
            page.shrink_to(page.len() + GROWTH);
        }
        self.len -= 1;
        Some(entry)
    }

    /// Allocates the pages for `additional` more entries.
    pub(super) fn reserve(&mut self, additional: usize) {
        let pages = (self.len + additional).div_ceil(MAX_LOAD).next_power_of_two();
        if pages > self.pages.len() {
            self.grow_to(pages);
        }
    }

    fn grow_to(&mut self, pages: usize) {
        let pages = pages.max(1);
        let before = std::mem::replace(&mut self.pages, (0..pages).map(|_| Vec::new()).collect());
        // Page by page, so that only one page is held twice.
        for entry in before.into_iter().flatten() {
            if let Some(page) = self.pages.get_mut(page(entry.hash(), pages)) {
                push(page, entry);
            }
        }
    }

    /// Panics if an entry is on another page than its hash says, or the length is wrong.
    pub(super) fn check(&self) {
        let pages = self.pages.len();
        for (at, entries) in self.pages.iter().enumerate() {
            assert!(entries.iter().all(|entry| page(entry.hash(), pages) == at), "an entry is on the page of its hash");
        }
        assert_eq!(self.len, self.pages.iter().map(Vec::len).sum::<usize>(), "the length is the number of entries");
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All entries, in the order of their hashes.
    pub(super) fn in_order(&self) -> impl Iterator<Item = T> {
        self.pages.iter().flat_map(|page| {
            let mut page = page.clone();
            page.sort_unstable_by_key(Hashed::hash);
            page
        })
    }
}

fn page(hash: u64, pages: usize) -> usize {
    hash.checked_shr(64 - pages.trailing_zeros()).unwrap_or(0) as usize
}

fn push<T>(page: &mut Vec<T>, entry: T) {
    if page.len() == page.capacity() {
        page.reserve_exact(GROWTH);
    }
    page.push(entry);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn table_behaves_like_a_set(steps in prop::collection::vec((any::<u64>(), any::<bool>()), 0..400), reserved in 0_usize..200) {
            let (mut table, mut set) = (Table::default(), BTreeSet::new());
            for (at, (value, insert)) in steps.iter().enumerate() {
                if at == 100 {
                    table.reserve(reserved);
                }
                // Few distinct values, so that some repeat; spread over all bits.
                let value = (value % 300).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let known = table.find(value, |entry| *entry == value).is_some();
                prop_assert_eq!(known, set.contains(&value));
                if *insert && !known {
                    table.insert(value);
                    set.insert(value);
                } else if !insert {
                    prop_assert_eq!(table.remove(value, |entry| *entry == value).is_some(), set.remove(&value));
                }
                prop_assert_eq!(table.len(), set.len());
            }
            prop_assert!(table.in_order().eq(set.iter().copied()));
        }
    }
}
