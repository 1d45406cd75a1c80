//! Jobs that pass through stages on several lanes (CPU, GPU, CPU): holistic iteration over the lanes.
//!
//! K. Tindell, J. Clark, "Holistic schedulability analysis for distributed hard real-time systems", Microprocessing and
//! Microprogramming 40 (1994); the best case of earlier stages as offset after J. J. Gutiérrez García, J. C. Palencia
//! Gutiérrez, M. González Harbour, "Schedulability analysis of distributed hard real-time systems with multiple-event
//! synchronization", ECRTS 2000, and M. González Harbour et al., MAST, ECRTS 2001.
//!
//! Let a job arrive at a. Its stage k waits in its lane from the completion of stage k − 1 on, which is not before a + b_k
//! and not after a + R_{k−1}. So in its lane, stage k is a sporadic task like any other:
//!
//! ```text
//!   b_0 = 0        b_k = b_{k−1} + best case of stage k − 1            its arrivals are at a + b_k, T apart or more
//!   J_0 = own      J_k = R_{k−1} + own − b_k                           it is seen at most J_k after them
//!   R_k = b_k + r_k(J)                                                 from the arrival of the job
//! ```
//!
//! where r_k is the lane's response bound from the stage's arrival, jitter included, for the jitters J of all stages on it.
//!
//! Assumptions:
//! 1. those of the lanes' analyses, where arrivals of a task are at least T apart and its jobs run in order; stages of one
//!    task on one lane are different tasks there;
//! 2. a stage starts when the one before it is complete, plus at most its own jitter; no execution is shorter than its best
//!    case;
//! 3. what a job does until an instant depends on nothing that a lane sees after it.
//!
//! Why any solution bounds reality, although J depends on R and R on J: suppose that some stage is not complete R after the
//! arrival of its job, and take the first instant t at which that happens. Before t every bound held, so every stage seen
//! before t was seen within its jitter. Now let nothing more arrive: the lanes up to t are then within the assumptions of
//! their analyses, and so the stage was complete in time. The least solution is the tightest.
//!
//! Why the iteration finds it: r grows with J; from jitters that are too small, each round stays at or below the least
//! solution. Bounds above the stage's limit become "none", which is above all numbers, and lanes turn an unbounded jitter
//! into "none" for whatever it can delay; that is a monotone equation too, with one least solution, and so the order of the
//! lanes does not matter. A limit of at least the deadline rejects nothing: the bounds of a pipeline never fall from
//! stage to stage, nor from round to round.
//!
//! With jitters above T, several jobs of a stage can be seen at once: a lane analysis that looks at the first instance
//! only is unsound here, whatever the deadlines are.

use super::{Found, Load, NoBound, fixed_priority};

/// The most rounds over all lanes.
pub const ROUNDS: u32 = 1_000;

/// A stage of a task. Times in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stage {
    /// The position of the stage before it, which is smaller than its own; `None` for the first of a task.
    pub after: Option<usize>,
    /// Its least execution; 0 where it is not known.
    pub best: u64,
    /// How much later than its job's arrival, or than the completion of the stage before it, it is seen, at most.
    pub jitter: u64,
    /// The largest R that counts as a bound; at least the deadline.
    pub limit: u64,
}

/// What holds for a stage, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Response {
    /// b: how long after its job's arrival the stage arrives in its lane.
    pub earliest: u64,
    /// J: how much later than that it is seen, at most.
    pub jitter: u64,
    /// R: from its job's arrival to its completion, at most.
    pub response: u64,
}

/// Why a stage has no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoResponse {
    /// Its lane has none for it.
    #[error(transparent)]
    Lane(NoBound),
    /// Whatever bound there is, it is above the stage's limit.
    #[error("the response bound is at least {at_least} ns")]
    AboveLimit {
        /// What the iteration had reached, in ns.
        at_least: u64,
    },
    /// The stage before it has none.
    #[error("the stage before it has no bound")]
    NothingBefore {
        /// The position of that stage.
        stage: usize,
    },
    /// The bounds still grew after [`ROUNDS`] rounds.
    #[error("the response bounds did not settle within {ROUNDS} rounds")]
    Unsettled,
    /// It is on no lane, or comes after a stage that is not at a smaller position.
    #[error("the stage is on no lane or out of order")]
    Malformed,
}

/// Bounds the time from a job's arrival to the completion of each stage.
///
/// `lanes` has the stages of each lane, each stage on one lane, in an order of the caller's choice. `analyse` takes a lane
/// and the jitters of its stages in that order, `None` where a jitter has no bound, and gives for each the bound on the time
/// from the stage's arrival in the lane to its completion, jitter included. More jitter must not make it smaller. A stage
/// whose delay depends on an unbounded jitter has no bound. The last call for each lane has its final jitters.
///
/// Cost: at most [`ROUNDS`] analyses of each lane; a lane none of whose jitters changed is not analysed again.
pub fn iterate<A>(stages: &[Stage], lanes: &[Vec<usize>], mut analyse: A) -> Vec<Result<Response, NoResponse>>
where
    A: FnMut(usize, &[Option<u64>]) -> Vec<Result<u64, NoBound>>,
{
    let mut pipelines = Pipelines::new(stages, lanes);
    let mut analysed: Vec<Option<Vec<Option<u64>>>> = vec![None; lanes.len()];
    for _ in 0..ROUNDS {
        let mut settled = true;
        for ((lane, members), analysed) in lanes.iter().enumerate().zip(&mut analysed) {
            let jitters = members.iter().map(|member| pipelines.jitter(*member)).collect();
            if analysed.as_ref() == Some(&jitters) {
                continue;
            }
            settled = false;
            let mut found = analyse(lane, &jitters).into_iter();
            for (member, jitter) in members.iter().zip(&jitters) {
                pipelines.update(*member, *jitter, found.next().unwrap_or(Err(NoBound::Overflow)));
            }
            *analysed = Some(jitters);
        }
        if settled {
            return (0..stages.len()).map(|stage| pipelines.found(stage)).collect();
        }
    }
    pipelines.responses.into_iter().map(|response| Err(response.err().unwrap_or(NoResponse::Unsettled))).collect()
}

/// Bounds the responses of a fixed-priority lane; `loads` has the most important first, and `jitters` replace theirs.
///
/// From the first unbounded jitter on, nothing has a bound. What is more important is only blocked by what follows,
/// once, whatever its jitter.
#[must_use]
pub fn fixed_priority_lane(loads: &[Load], jitters: &[Option<u64>]) -> Vec<Found> {
    let bounded = jitters.iter().take_while(|jitter| jitter.is_some()).count();
    let with_jitter = |(load, jitter): (&Load, &Option<u64>)| Load { jitter: jitter.unwrap_or(0), ..*load };
    let loads: Vec<Load> = loads.iter().zip(jitters).map(with_jitter).collect();
    let mut found = fixed_priority::analyse(&loads);
    for unbounded in found.iter_mut().skip(bounded) {
        unbounded.response = Err(NoBound::Overloaded);
    }
    found
}

/// The stages with the bounds found so far.
struct Pipelines<'s> {
    stages: &'s [Stage],
    /// b of each stage.
    earliest: Vec<Result<u64, NoResponse>>,
    /// R of each stage; never falls.
    responses: Vec<Result<u64, NoResponse>>,
}

impl<'s> Pipelines<'s> {
    /// Every stage completes as early as it can.
    fn new(stages: &'s [Stage], lanes: &[Vec<usize>]) -> Self {
        let mut on_lane = vec![false; stages.len()];
        for member in lanes.iter().flatten() {
            if let Some(known) = on_lane.get_mut(*member) {
                *known = true;
            }
        }
        let mut earliest = Vec::with_capacity(stages.len());
        let mut responses: Vec<Result<u64, NoResponse>> = Vec::with_capacity(stages.len());
        for (stage, on_lane) in stages.iter().zip(on_lane) {
            let after = match stage.after {
                _ if !on_lane => Err(NoResponse::Malformed),
                None => Ok(0),
                // A stage at a larger position has no entry yet.
                Some(before) => match responses.get(before) {
                    None => Err(NoResponse::Malformed),
                    Some(Err(_)) => Err(NoResponse::NothingBefore { stage: before }),
                    Some(Ok(completed)) => Ok(*completed),
                },
            };
            let completed = |at: u64| at.checked_add(stage.best).ok_or(NoResponse::Lane(NoBound::Overflow));
            earliest.push(after);
            responses.push(after.and_then(completed));
        }
        Self { stages, earliest, responses }
    }

    /// J of a stage, or `None` where it has no bound.
    fn jitter(&self, member: usize) -> Option<u64> {
        let stage = self.stages.get(member)?;
        let Some(before) = stage.after else { return Some(stage.jitter) };
        let latest = self.responses.get(before)?.ok()?.checked_add(stage.jitter)?;
        latest.checked_sub(self.earliest.get(member)?.ok()?)
    }

    /// Takes what a lane found for a stage.
    fn update(&mut self, member: usize, jitter: Option<u64>, found: Result<u64, NoBound>) {
        let Some(stage) = self.stages.get(member) else { return };
        let open = stage.after.filter(|before| !matches!(self.responses.get(*before), Some(Ok(_))));
        let Some(response) = self.responses.get_mut(member) else { return };
        let (Ok(so_far), Some(Ok(earliest))) = (*response, self.earliest.get(member)) else { return };
        let next = found.and_then(|found| earliest.checked_add(found).ok_or(NoBound::Overflow));
        *response = match (open, jitter, next) {
            (Some(before), _, _) => Err(NoResponse::NothingBefore { stage: before }),
            (None, None, _) => Err(NoResponse::Lane(NoBound::Overflow)),
            (None, _, Err(why)) => Err(NoResponse::Lane(why)),
            (None, _, Ok(next)) if next > stage.limit => Err(NoResponse::AboveLimit { at_least: next }),
            (None, _, Ok(next)) => Ok(so_far.max(next)),
        };
    }

    /// What holds for a stage when nothing changes any more.
    fn found(&self, member: usize) -> Result<Response, NoResponse> {
        let response = self.responses.get(member).copied().unwrap_or(Err(NoResponse::Malformed))?;
        let earliest = self.earliest.get(member).copied().unwrap_or(Err(NoResponse::Malformed))?;
        let jitter = self.jitter(member).ok_or(NoResponse::Malformed)?;
        Ok(Response { earliest, jitter, response })
    }
}
