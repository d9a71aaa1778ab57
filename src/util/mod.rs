//! Small utilities that are independent of the engine's domain.

pub(crate) mod digest;
pub(crate) mod invariant;
pub(crate) mod packed;
pub(crate) mod sorted;
pub(crate) mod spelling;
pub(crate) mod text_form;
