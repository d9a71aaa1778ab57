/// Declares the paths that every event of a cloud is built from, as an enum `Field` and a list `FIELDS` in the same
/// order.
macro_rules! fields {
    ($($name:ident = $path:literal),+ $(,)?) => {
        /// The fields that every event is built from.
        #[allow(clippy::enum_variant_names, reason = "a list of fields may consist of times only")]
        #[derive(Clone, Copy)]
        #[repr(u16)]
        enum Field { $($name),+ }

        impl From<Field> for usize {
            fn from(field: Field) -> usize {
                field as usize
            }
        }

        /// The paths of the fields, in the order of `Field`.
        const FIELDS: &[&str] = &[$($path),+];
    };
}

pub(super) use fields;
