/// A hash table of small copies that takes little more than they do, at every size.
///
/// A table with open addressing is half empty right after it has grown, and with a million entries that is the larger half
/// of what they cost. Here the high bits of the hash name a page, and a page is a short list that grows by a few places.
/// To find an entry is to look through about twenty neighbours in memory.
#[derive(Clone, Debug)]
pub(super) struct Table<T> {
    /// As many as a power of two, by the high bits of the hash.
    pages: Vec<Vec<T>>,
    len: usize,
}

/// What [`Table`] holds.
pub(super) trait Hashed: Copy {
    /// A hash whose high bits are as good as its low ones.
    fn hash(&self) -> u64;
}

/// The hash of what keeps only 32 bits of one: they are the high bits.
pub(super) fn high_bits(kept: u32) -> u64 {
    u64::from(kept) << 32
}

/// An event id stands for itself: it is a keyed hash.
impl Hashed for u64 {
    fn hash(&self) -> u64 {
        *self
    }
}

/// How many entries a page holds on average before there are twice as many pages.
const FULL: usize = 32;

/// By how many places a page grows.
const GROWTH: usize = 4;

/// What a table takes for each entry besides the entry: a part of the page's own size, and its empty places.
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

    /// The first entry of this hash that `is`.
    pub(super) fn find(&self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&T> {
        self.pages.get(self.page_of(hash))?.iter().find(|entry| is(entry))
    }

    /// The first entry of this hash that `is`, to change what is not its hash.
    pub(super) fn find_mut(&mut self, hash: u64, is: impl Fn(&T) -> bool) -> Option<&mut T> {
        let page = self.page_of(hash);
        self.pages.get_mut(page)?.iter_mut().find(|entry| is(entry))
    }

    /// Puts an entry in, beside what is there.
    pub(super) fn insert(&mut self, entry: T) {
        if self.len >= self.pages.len() * FULL {
            self.grow_to(self.pages.len() * 2);
        }
        let page = self.page_of(entry.hash());
        if let Some(page) = self.pages.get_mut(page) {
            push(page, entry);
            self.len += 1;
        }
    }

    /// Takes out the first entry of this hash that `is`.
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

    /// Makes the pages for so many entries more at once.
    pub(super) fn reserve(&mut self, additional: usize) {
        let pages = (self.len + additional).div_ceil(FULL).next_power_of_two();
        if pages > self.pages.len() {
            self.grow_to(pages);
        }
    }

    fn grow_to(&mut self, pages: usize) {
        let pages = pages.max(1);
        let before = std::mem::replace(&mut self.pages, (0..pages).map(|_| Vec::new()).collect());
        // Page by page, so that only one of them is there twice.
        for entry in before.into_iter().flatten() {
            if let Some(page) = self.pages.get_mut(page(entry.hash(), pages)) {
                push(page, entry);
            }
        }
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
        fn a_table_is_a_set(steps in prop::collection::vec((any::<u64>(), any::<bool>()), 0..400), reserved in 0_usize..200) {
            let (mut table, mut set) = (Table::default(), BTreeSet::new());
            for (at, (value, insert)) in steps.iter().enumerate() {
                if at == 100 {
                    table.reserve(reserved);
                }
                // Few different values, so that they are found again, spread over all bits.
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
