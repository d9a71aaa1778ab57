//! Short lists that are kept sorted, each item once. The standard sorts are faster on long lists and several kilobytes of
//! code for each type, which the component has to carry.

/// Puts an item in its place, unless it is there already.
pub(crate) fn insert<T: Ord>(list: &mut Vec<T>, item: T) {
    if let Err(place) = list.binary_search(&item) {
        list.insert(place, item);
    }
}

/// The items of an iterator, sorted, each once.
pub(crate) fn collect<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut list = Vec::new();
    for item in items {
        insert(&mut list, item);
    }
    list
}
