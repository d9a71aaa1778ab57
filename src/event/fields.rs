/// Names the paths that every event of a cloud is made from, as an enum `Field` and a list `FIELDS` in the same order.
macro_rules! fields {
    ($($name:ident = $path:literal),+ $(,)?) => {
        /// The values that every event is made from.
        #[derive(Clone, Copy)]
        #[repr(u16)]
        enum Field { $($name),+ }

        impl From<Field> for usize {
            fn from(field: Field) -> usize {
                field as usize
            }
        }

        /// Their paths, in the same order.
        const FIELDS: &[&str] = &[$($path),+];
    };
}

pub(super) use fields;
