/// Values by number, in chunks that never move: growth copies nothing and never holds all values twice.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    len: usize,
}

const CHUNK: usize = 1_024;

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    /// Inserts a value and returns its number. `None` only if it holds two billion.
    pub(super) fn insert(&mut self, value: T) -> Option<u32> {
        if let Some(number) = self.free.pop() {
            *self.place(number)? = Some(value);
            self.len += 1;
            return Some(number);
        }
        // No place is free, so all numbers below `len` are in use.
        let number = u32::try_from(self.len).ok().filter(|number| *number < 1 << 31)?;
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks.last_mut()?.push(Some(value));
        self.len += 1;
        Some(number)
    }

    fn place(&mut self, number: u32) -> Option<&mut Option<T>> {
        self.chunks.get_mut(number as usize / CHUNK)?.get_mut(number as usize % CHUNK)
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.chunks.get(number as usize / CHUNK)?.get(number as usize % CHUNK)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.place(number)?.as_mut()
    }

    /// Removes a value. Its number may be reused.
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.place(number)?.take()?;
        self.len -= 1;
        self.free.push(number);
        Some(value)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// All values with their numbers, lowest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(self.chunks.iter().flatten()).filter_map(|(number, value)| Some((number, value.as_ref()?)))
    }

    /// Panics if the counts do not fit what is stored.
    pub(super) fn check(&self) {
        let slots = self.chunks.iter().map(Vec::len).sum::<usize>();
        assert_eq!(self.len, self.iter().count(), "the length is the number of values");
        assert_eq!(slots, self.len + self.free.len(), "every slot is in use or free");
        assert!(self.free.iter().all(|number| self.get(*number).is_none()), "a free slot holds nothing");
    }
}
