//! Processes of fault domains: each runs the models of one domain, for the lanes of the vehicle that started it.
//!
//! ```text
//!  the vehicle                                                    the domain's process
//!  lane thread ── order in the page, wake ───────────────────────▶ its thread of that lane: runs the segment
//!       ▲  waits until it is answered or time is up               │
//!       └───────────────────────── answer in the page, wake ◀─────┘
//!  supervising thread ◀── pidfd: it ended; no beat in time ─▶ killed
//!       ├─▶ the domain is lost: its lanes are woken, the dispatcher is told
//!       └─▶ restarting thread: another process ([`restart`]), which the lanes use from the domain's next life on ([`switch`])
//! ```
//!
//! What a process may do to the vehicle is what its pages and its planned memory hold, and nothing more: pages are only read as
//! whole numbers, and what they say is checked before it is used ([`page`]); memory objects cannot be made shorter ([`shared`]).
//! A process that keeps to nothing is killed and its domain fails ([`process`]).
//!
//! Handing a segment over and back uses no heap, and two system calls on each side, or none where threads look again and again.

pub mod fences;
pub mod group;
pub mod link;
pub mod own;
pub mod page;
pub mod process;
pub mod restart;
pub mod shared;
pub mod supervise;
pub mod switch;

#[cfg(test)]
mod tests;
