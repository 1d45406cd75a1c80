//! The version of the table layout, as a name that generated code must be able to spell.
//!
//! Every generated plan contains `const _: () = ::aegis_core::layout::TABLE_LAYOUT_12;`. When a field of
//! [`crate::desc`] is added, removed or changes its meaning, the constant is renamed, and a plan that an
//! older generator wrote fails to compile with an error that shows the missing name.

/// The name that plans for this table layout refer to.
pub const TABLE_LAYOUT_12: () = ();

/// The same version as a number, for a plan's header and for messages.
pub const TABLE_LAYOUT: u32 = 12;
