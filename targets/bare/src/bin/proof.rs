//! Links only where nothing that core offers the vehicle can panic or allocate.
//!
//! The panic handler calls a function that does not exist, and there is no allocator. Whatever panic the optimizer cannot show to
//! be unreachable keeps that call, and the linker refuses it by its name. All inputs are opaque to the optimizer, the plan too,
//! so the proof is of the code and not of this plan. `docs/link-proof.md` says what this shows and what not.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "an entry that keeps its name, and the declaration of what does not exist")]

#[path = "../no_panic.rs"]
mod no_panic;

use aegis_bare::plan::{LANES, QUEUE, SYSTEM, TASKS};
use aegis_core::desc::{ALIGNMENT, SystemDesc, occupied};
use aegis_core::dispatch::{Event, State, count_unfinished, state_bytes, step};
use aegis_core::trace::{Kind, Record, Sink};
use aegis_core::{Bytes, Instant, LaneId, TaskId, trace_line, verify};
use core::fmt::{self, Write};
use core::hint::black_box;

/// Everything that a vehicle calls, as often as it likes, with whatever it likes.
///
/// Nothing runs it: the proof is that it could be linked.
// SAFETY: no other function has this name, and none of its callees expects the runtime that it stands for.
#[unsafe(no_mangle)]
pub extern "C" fn _start() -> ! {
    let system = black_box(&SYSTEM);
    if let Err(violation) = black_box(verify::verify(system)) {
        _ = write!(Opaque, "{}", verify::Broken { system, violation });
    }
    #[cfg(feature = "can-panic")]
    assert!(black_box(false), "this must not link");
    black_box(state_bytes(black_box(TASKS), black_box(LANES), black_box(QUEUE)));
    descriptors(system);
    loop {
        drive::<TASKS, LANES, QUEUE>();
        // So that nothing is unreachable because of the plan's small numbers.
        drive::<64, 4, 8>();
    }
}

/// What loops and backends ask the tables.
fn descriptors(system: &SystemDesc) {
    let position = || black_box(0_usize);
    _ = black_box(verify::scratch_is_its_own(system, position(), position()));
    for model in system.models {
        _ = black_box((model.tensor(position()).is_some(), model.life(position()).is_some(), model.memory()));
    }
    for lane in system.lanes {
        _ = black_box((lane.lateness(), lane.segment_overhead()));
    }
    _ = black_box(occupied(black_box(Bytes(0)), black_box(ALIGNMENT)));
}

fn drive<const TASKS: usize, const LANES: usize, const QUEUE: usize>() {
    let system = black_box(&SYSTEM);
    let Ok(mut state) = State::<TASKS, LANES, QUEUE>::new(system) else { return };
    for _ in 0..black_box(1_u64) {
        let (event, now) = (black_box(Event::Timer), black_box(Instant::START));
        _ = black_box(step(system, &mut state, event, now, &mut Opaque));
        _ = black_box((
            state.is_idle(),
            state.level(),
            state.settled_level(),
            state.mode(),
            state.next_mode(),
            state.running(LaneId(black_box(0))),
        ));
        state.waiting(TaskId(black_box(0))).for_each(|job| _ = black_box(job));
        count_unfinished(system, &mut state, now, &mut Opaque);
    }
}

/// Takes any record and any text.
struct Opaque;

impl Sink for Opaque {
    fn record(&mut self, at: Instant, kind: Kind) {
        trace_line::write(self, black_box(&SYSTEM), black_box(&Record { sequence: 0, at, kind }));
    }
}

impl Write for Opaque {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        black_box(text);
        Ok(())
    }
}
