/// Values by number, in pieces that never move: growing costs no copy, and no moment at which everything is there twice.
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
    /// Puts a value in and gives its number; `None` only where two billion are in.
    pub(super) fn insert(&mut self, value: T) -> Option<u32> {
        if let Some(number) = self.free.pop() {
            *self.place(number)? = Some(value);
            self.len += 1;
            return Some(number);
        }
        // None is free: all places up to the length are taken.
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

    /// Takes a value out; its number may be given again.
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
}
