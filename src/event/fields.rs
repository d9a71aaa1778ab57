/// Names the paths that every event of a cloud is made from; `$first` is the slot of the first of them.
macro_rules! fields {
    ($first:expr; $($name:ident = $path:literal),+ $(,)?) => {
        /// The values that every event is made from.
        #[derive(Clone, Copy)]
        #[repr(u16)]
        enum Field { $($name),+ }

        impl Field {
            const fn slot(self) -> $crate::event::projection::Slot {
                $crate::event::projection::Slot::fixed($first + self as u16)
            }
        }

        /// Their paths, in the order of their slots.
        pub(super) const FIELDS: &[&str] = &[$($path),+];
    };
}

pub(super) use fields;

use super::projection::Alias;

/// `names` are read as what stands at `path`.
pub(super) const fn alias(names: &'static [&'static str], path: &'static str) -> Alias {
    Alias { names, path }
}
