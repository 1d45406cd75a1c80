//! What a driver takes of a device's memory for a process that uses it, before any model is loaded.
//!
//! ```text
//!  opened ─▶ a region of one byte ─▶ context ─▶ a part ─▶ a part ─▶ … ─▶ a part of all SMs
//!                                               └ the greatest of what each of these takes: a part
//! ```
//!
//! The region takes one whole unit of the device's memory, which is at least what an arena leaves unused of its last one. Other
//! processes that begin to use the device meanwhile spoil the figures; where one is seen to give memory back, nothing is told.

use crate::arena::Arena;
use crate::gpu::Seat;
use aegis_core::desc::Waiting;
use aegis_cuda::{CudaError, Device, Part};
use std::sync::Arc;

/// So many of the smallest parts are made at most: a driver may take memory for several at once.
const MOST_PARTS: u32 = 8;

/// What a driver takes; `None` where nobody tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Taken {
    /// For the process.
    pub(super) context: Option<u64>,
    /// For a part with its stream, at most.
    pub(super) part: Option<u64>,
}

/// Makes parts of a device that nothing of this process uses yet but that it was opened.
pub(super) fn measure(device: &Arc<Device>) -> Result<Taken, CudaError> {
    let _region = Arena::of_device(device, 1)?;
    let mut readings = vec![device.growth_bytes()];
    let mut seats = Vec::new();
    if let Some(units) = device.facts().units {
        let smallest = (0..units.count.min(MOST_PARTS)).map(|_| units.sms);
        for sms in smallest.chain([units.sms.saturating_mul(units.count)]) {
            let part = Part::divide(device, &[sms])?.into_iter().next();
            // Two divisions share SMs, and nothing runs on these.
            seats.extend(part.map(|part| Seat::new(part, Waiting::Polling)).transpose()?);
            readings.push(device.growth_bytes());
        }
    }
    Ok(Taken::of(&readings))
}

impl Taken {
    /// From the memory that is used after the process has begun, and after each part.
    fn of(readings: &[Option<u64>]) -> Self {
        let steps = readings.iter().zip(readings.iter().skip(1));
        let steps: Option<Vec<u64>> =
            steps.map(|(before, after)| after.as_ref()?.checked_sub(*before.as_ref()?)).collect();
        Self { context: readings.first().copied().flatten(), part: steps.and_then(|steps| steps.into_iter().max()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Taken;

    #[test]
    fn a_part_takes_the_greatest_step_and_what_is_not_told_is_not_zero() {
        let of = |readings: &[Option<u64>]| {
            let Taken { context, part } = Taken::of(readings);
            (context, part)
        };
        assert_eq!(of(&[Some(500), Some(502), Some(502), Some(510)]), (Some(500), Some(8)));
        assert_eq!(of(&[Some(500), Some(500)]), (Some(500), Some(0)), "told to be nothing");
        assert_eq!(of(&[Some(500)]), (Some(500), None), "of a device without parts");
        assert_eq!(of(&[None, None]), (None, None));
        assert_eq!(of(&[Some(500), None, Some(510)]), (Some(500), None), "one step is not known");
        assert_eq!(of(&[Some(500), Some(490)]), (Some(500), None), "another process gave some back");
    }
}
