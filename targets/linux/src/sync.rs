//! What threads share memory through: the standard library's, for which `tests/loom` puts loom's when it compiles the same
//! files.

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic};
