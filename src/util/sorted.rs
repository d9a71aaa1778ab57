//! Short sorted lists without duplicates. The standard sorts are faster on long lists, but add several kilobytes of
//! code to the component for each type.

/// Inserts an item into a sorted list, unless the list contains it. Costs a binary search and a move of the items after
/// it.
pub(crate) fn insert<T: Ord>(list: &mut Vec<T>, item: T) {
    if let Err(place) = list.binary_search(&item) {
        list.insert(place, item);
    }
}

/// The items of an iterator, sorted and without duplicates. Quadratic in their number.
pub(crate) fn collect<T: Ord>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut list = Vec::new();
    for item in items {
        insert(&mut list, item);
    }
    list
}
