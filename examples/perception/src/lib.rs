//! What the example vehicles see, hear and understand.
//!
//! This is application code, of the kind that a vehicle team has anyway: AegisRT neither needs nor knows it. Reading and
//! allocating happen at start-up ([`scene`], [`audio`]); what runs in hooks is pure ([`decode`]).

pub mod audio;
pub mod decode;
pub mod scene;
