//! Small tools without a meaning of their own.

pub(crate) mod digest;
pub(crate) mod invariant;
pub(crate) mod packed;
pub(crate) mod sorted;
pub(crate) mod text_form;
