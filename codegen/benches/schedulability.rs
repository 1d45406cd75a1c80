//! Times of the analyses, beside those of `response-time-analysis` (B. Brandenburg) on the same task sets in the same
//! process, whose bounds must be equal. Prints a Markdown table.
//!
//! `cargo bench -p aegis-codegen --bench schedulability`, with a part of a row's name to run only those rows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a wrong bound ends the measurement")]

use aegis_codegen::analysis::exact::{self, Limits, Order};
use aegis_codegen::analysis::{Found, Load, edf, fixed_priority};
use aegis_codegen::check::{Options, check};
use response_time_analysis as peer;
use std::fmt::Write;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Of the sets; the same in each run.
const SEED: u64 = 2026;
/// Runs of which the median counts: many while they are short.
const RUNS: usize = 21;
/// After this time no further run begins.
const PATIENCE: Duration = Duration::from_secs(10);
/// Beyond which the peer stops its search, in nanoseconds: an hour.
const LIMIT: u64 = 3_600_000_000_000;

fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    println!("| analysis | tasks | utilization | ours | peer | peer / ours |");
    println!("|---|--:|--:|--:|--:|--:|");
    let row = |name: &str, tasks: usize, percent: u64, measure: &dyn Fn(&[Load]) -> Row| {
        if name.contains(&only) {
            println!("| {name} | {tasks} | {percent} % | {} |", measure(&set(tasks, percent)));
        }
    };
    for tasks in [10, 100, 1_000] {
        row("fixed priority, preemptive", tasks, 75, &|loads| fixed(loads, Load::preemptive, peer_preemptive));
        row("fixed priority, whole jobs", tasks, 75, &|loads| fixed(loads, Load::whole, peer_whole));
    }
    for tasks in [10, 100, 1_000] {
        // The peer evaluates every deadline of every task in the busy period; with 1,000 tasks it does not finish.
        let beside = tasks < 1_000;
        row("EDF, preemptive", tasks, 90, &|loads| earliest(loads, Load::preemptive, beside.then_some(peer_edf)));
        row("EDF, whole jobs", tasks, 90, &|loads| earliest(loads, Load::whole, beside.then_some(peer_edf_whole)));
    }
    row("EDF verdict by QPA, preemptive", 1_000, 90, &|loads| quickly(loads, Load::preemptive));
    row("EDF verdict by QPA, whole jobs", 1_000, 90, &|loads| quickly(loads, Load::whole));
    row("`check` of a manifest", 100, 75, &|loads| manifest_checked(loads));
    for (name, best) in [("best case = WCET", 100), ("best case = half", 50)] {
        let name = format!("exact graph, 261 jobs, 5 % jitter, {name}");
        row(&name, 30, 75, &|_| exactly(best));
    }
}

/// The columns that are measured.
struct Row {
    ours: Duration,
    peer: Option<Duration>,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1?} | ", self.ours)?;
        match self.peer {
            Some(peer) => write!(f, "{peer:.1?} | {:.1}", peer.as_secs_f64() / self.ours.as_secs_f64()),
            None => write!(f, "— | —"),
        }
    }
}

/// The median time of the runs, and what the last one found.
fn time<T>(mut run: impl FnMut() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let mut times = Vec::new();
    loop {
        let start = Instant::now();
        let found = black_box(run());
        times.push(start.elapsed());
        if times.len() == RUNS || begin.elapsed() > PATIENCE {
            times.sort_unstable();
            return (times[times.len() / 2], found);
        }
    }
}

/// A random set without jitter and with implicit deadlines, the shortest period first; periods log-uniform from 10 ms to
/// 1 s in steps of 100 µs. Shares of the utilization are the gaps between random cuts, which are distributed like those
/// of UUniFast (E. Bini, G. Buttazzo, "Measuring the performance of schedulability tests", Real-Time Systems 30 (2005)).
fn set(tasks: usize, percent: u64) -> Vec<Load> {
    const WHOLE: u64 = 1_000_000_000;
    let mut random = fastrand::Rng::with_seed(SEED);
    let total = WHOLE / 100 * percent;
    let mut cuts: Vec<u64> = (1..tasks).map(|_| random.u64(0..=total)).collect();
    cuts.extend([0, total]);
    cuts.sort_unstable();
    let mut loads: Vec<Load> = cuts.windows(2).map(|cut| load(cut[1] - cut[0], &mut random)).collect();
    loads.sort_by_key(|load| load.period);
    loads
}

/// A load with this many billionths of the utilization.
fn load(share: u64, random: &mut fastrand::Rng) -> Load {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 100 to 10,000")]
    let steps = (100.0 * 100.0_f64.powf(random.f64())).round() as u64;
    let period = steps * 100_000;
    // Shares below 1 ns still cost 1 ns.
    let cost = (u128::from(period) * u128::from(share) / 1_000_000_000).max(1);
    Load::whole(u64::try_from(cost).unwrap(), period, period, 0)
}

/// How a load is built: [`Load::whole`] or [`Load::preemptive`].
type Pieces = fn(u64, u64, u64, u64) -> Load;

/// The peer's bounds, in nanoseconds.
type Peer = fn(&[Load]) -> Vec<u64>;

fn as_pieces(loads: &[Load], pieces: Pieces) -> Vec<Load> {
    loads.iter().map(|load| pieces(load.cost, load.period, load.deadline, load.jitter)).collect()
}

fn fixed(loads: &[Load], pieces: Pieces, peer: Peer) -> Row {
    let loads = as_pieces(loads, pieces);
    let (ours, found) = time(|| fixed_priority::analyse(black_box(&loads)));
    let (peer, expected) = time(|| peer(black_box(&loads)));
    assert_eq!(bounds(&found), expected, "the bounds differ");
    Row { ours, peer: Some(peer) }
}

fn earliest(loads: &[Load], pieces: Pieces, peer: Option<Peer>) -> Row {
    let loads = as_pieces(loads, pieces);
    let (ours, lane) = time(|| edf::analyse(black_box(&loads)));
    let peer = peer.map(|peer| {
        let (time, expected) = time(|| peer(black_box(&loads)));
        assert_eq!(bounds(&lane.found), expected, "the bounds differ");
        time
    });
    Row { ours, peer }
}

/// The verdict alone.
fn quickly(loads: &[Load], pieces: Pieces) -> Row {
    let loads = as_pieces(loads, pieces);
    let verdict = || fixed_priority::busy_period(0, &loads).and_then(|busy| edf::qpa::test(black_box(&loads), busy));
    let (ours, found) = time(verdict);
    let holds = bounds(&edf::analyse(&loads).found).iter().zip(&loads).all(|(bound, load)| *bound <= load.deadline);
    assert_eq!(found.is_ok(), holds, "the verdicts differ");
    Row { ours, peer: None }
}

/// The exact analysis of 30 strictly periodic tasks with 261 jobs a hyperperiod, best cases in percent of the WCETs.
fn exactly(best: u64) -> Row {
    // Hyperperiod 1,200,000 us; the counts of tasks give 261 jobs.
    let periods = [(60, 3), (100, 4), (120, 5), (150, 6), (200, 4), (240, 3), (300, 3), (600, 2)];
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut tasks = Vec::new();
    for (period, count) in periods {
        for _ in 0..count {
            let period = period * 1_000_000;
            let worst = period / 40 * random.u64(60..=140) / 100;
            let (cost, phase) = ((worst * best / 100, worst), random.u64(0..period));
            tasks.push(exact::Task { cost, period, deadline: period, phase, jitter: period / 20 });
        }
    }
    tasks.sort_by_key(|task| task.period);
    let (ours, found) = time(|| exact::periodic(black_box(&tasks), Order::FixedPriority, Limits::default()));
    if let Err(gave_up) = found {
        println!("| (gave up: {gave_up}) | | | | | |");
    }
    Row { ours, peer: None }
}

/// Our bounds, in nanoseconds.
fn bounds(found: &[Found]) -> Vec<u64> {
    found.iter().map(|found| found.response.as_ref().unwrap().0.as_ns()).collect()
}

/// The whole library, from text to the certified plan, for tasks on one fully preemptive lane; all must meet their deadlines.
fn manifest_checked(loads: &[Load]) -> Row {
    let mut text = String::from(
        "[system]\nname = \"bench\"\npolicy = \"rate-monotonic\"\n[lane.main]\nkind = \"cpu\"\ncore = 1\npreemption = \"full\"\n\
         dispatch-overhead = \"0ns\"\nwakeup-latency = \"0ns\"\n",
    );
    for (index, load) in loads.iter().enumerate() {
        let (period, cost) = (load.period, load.cost);
        writeln!(text, "[task.t{index}]\nlane = \"main\"\nperiod = \"{period}ns\"\nwcet = \"{cost}ns\"").unwrap();
    }
    let (ours, checked) = time(|| check("bench.toml", black_box(text.clone()), Options::default()).unwrap());
    assert!(checked.passes(), "{:?}", checked.findings.first());
    Row { ours, peer: None }
}

fn limit() -> peer::time::Duration {
    LIMIT.into()
}

fn sporadic(load: &Load) -> peer::arrival::Sporadic {
    peer::arrival::Sporadic::new_zero_jitter(load.period.into())
}

fn cost(load: &Load) -> peer::wcet::Scalar {
    peer::wcet::Scalar::new(load.cost.into())
}

type Request = peer::demand::RBF<peer::arrival::Sporadic, peer::wcet::Scalar>;

fn requests(loads: &[Load]) -> Vec<Request> {
    loads.iter().map(|load| Request::new(sporadic(load), cost(load))).collect()
}

fn ns(bound: peer::fixed_point::SearchResult) -> u64 {
    bound.unwrap().into()
}

fn peer_preemptive(loads: &[Load]) -> Vec<u64> {
    let requests = requests(loads);
    let bound = |own: usize| {
        ns(peer::fixed_priority::fully_preemptive::dedicated_uniproc_rta(&requests[own], &requests[..own], limit()))
    };
    (0..loads.len()).map(bound).collect()
}

fn peer_whole(loads: &[Load]) -> Vec<u64> {
    use peer::fixed_priority::fully_nonpreemptive::{TaskUnderAnalysis, dedicated_uniproc_rta};
    let requests = requests(loads);
    let bound = |own: usize| {
        let blocking = loads[own + 1..].iter().map(|load| load.cost - 1).max().unwrap_or(0);
        let arrivals = sporadic(&loads[own]);
        let task = TaskUnderAnalysis { wcet: cost(&loads[own]), arrivals: &arrivals, blocking_bound: blocking.into() };
        ns(dedicated_uniproc_rta(&task, &requests[..own], limit()))
    };
    (0..loads.len()).map(bound).collect()
}

fn peer_edf(loads: &[Load]) -> Vec<u64> {
    use peer::edf::fully_preemptive::{Task, dedicated_uniproc_rta};
    let requests = requests(loads);
    let task = |index: usize| Task { rbf: &requests[index], deadline: loads[index].deadline.into() };
    let bound = |own: usize| {
        let others: Vec<_> = (0..loads.len()).filter(|index| *index != own).map(task).collect();
        ns(dedicated_uniproc_rta(&task(own), &others, limit()))
    };
    (0..loads.len()).map(bound).collect()
}

fn peer_edf_whole(loads: &[Load]) -> Vec<u64> {
    use peer::edf::fully_nonpreemptive::{Task, dedicated_uniproc_rta};
    let arrivals: Vec<_> = loads.iter().map(sporadic).collect();
    let task = |index: usize| Task {
        wcet: cost(&loads[index]),
        arrivals: &arrivals[index],
        deadline: loads[index].deadline.into(),
    };
    let bound = |own: usize| {
        let others: Vec<_> = (0..loads.len()).filter(|index| *index != own).map(task).collect();
        ns(dedicated_uniproc_rta(&task(own), &others, limit()))
    };
    (0..loads.len()).map(bound).collect()
}
