//! What is said of a plan: its height and bound, and where it does not fit, which buffers at which instant.

use super::Sheet;
use crate::finding::{Code, Finding};
use crate::memory::solver::pools::Sizes;
use crate::memory::solver::{Plan, Proof};
use serde::Serialize;

/// How many buffers a finding lists.
const MOST_LISTED: usize = 12;

/// A plan's figures; schema `aegis.pack/1`. All in bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Told {
    /// `aegis.pack/1`.
    pub schema: &'static str,
    /// How many buffers.
    pub buffers: usize,
    /// What is there.
    pub capacity_bytes: u64,
    /// The end of the highest buffer.
    pub height_bytes: u64,
    /// What is taken of the capacity: the height, or the power of two that holds it; absent beyond 2⁶³.
    pub size_bytes: Option<u64>,
    /// No plan is lower.
    pub lower_bound_bytes: u64,
    /// Whether the height is the lowest.
    pub optimal: bool,
    /// Why: `witness`, `search`, or `none`.
    pub proof: &'static str,
    /// The buffers that need `witness_bytes` by themselves, as they conflict pairwise.
    pub witness: Vec<String>,
    /// What they need.
    pub witness_bytes: u64,
    /// An instant at which all of them are live, if there is one.
    pub instant: Option<i64>,
    /// Whether it fits.
    pub fits: bool,
    /// Nodes of the search.
    pub nodes: u64,
    /// Whether the time limit ended the search; then another run may find another plan.
    pub out_of_time: bool,
}

/// Puts a plan into figures.
#[must_use]
pub fn judge(sheet: &Sheet, plan: &Plan, capacity: u64, sizes: Sizes) -> Told {
    let size = sizes.holding(plan.height);
    Told {
        schema: "aegis.pack/1",
        buffers: plan.offsets.len(),
        capacity_bytes: capacity,
        height_bytes: plan.height,
        size_bytes: size,
        lower_bound_bytes: plan.lower_bound,
        optimal: plan.is_optimal(),
        proof: match plan.proof {
            Proof::Witness => "witness",
            Proof::Search => "search",
            Proof::None => "none",
        },
        witness: plan.bound.witness.iter().filter_map(|at| sheet.ids.get(*at).cloned()).collect(),
        witness_bytes: plan.bound.height,
        instant: plan.bound.instant,
        fits: size.is_some_and(|size| size <= capacity),
        nodes: plan.nodes,
        out_of_time: plan.out_of_time,
    }
}

impl Told {
    /// The figures as text.
    #[must_use]
    pub fn text(&self) -> String {
        let gap = self.height_bytes.saturating_sub(self.lower_bound_bytes);
        let at = self.instant.map_or_else(String::new, |instant| format!(" at instant {instant}"));
        let proof = match self.proof {
            "witness" => format!("the lowest: {} buffers{at} need as much", self.witness.len()),
            "search" => "the lowest: everything lower was searched".to_owned(),
            _ if self.out_of_time => format!("gap {gap}; not proven: the time limit ended the search"),
            _ if self.fits => {
                format!("gap {gap}; not proven, and hardly searched for once it fit ({} nodes)", self.nodes)
            }
            _ => format!("gap {gap}; not proven within {} nodes", self.nodes),
        };
        let size = match self.size_bytes {
            Some(size) if size != self.height_bytes => format!("size         {size}, a power of two\n"),
            None => "size         beyond 2^63\n".to_owned(),
            Some(_) => String::new(),
        };
        format!(
            "buffers      {}\ncapacity     {}\nheight       {}\n{size}lower bound  {}\noptimal      {}\n",
            self.buffers, self.capacity_bytes, self.height_bytes, self.lower_bound_bytes, proof
        )
    }
}

/// Why it does not fit: the buffers that need more than the capacity by themselves, or those that the best plan has
/// above it.
#[must_use]
pub fn refused(sheet: &Sheet, plan: &Plan, told: &Told, sizes: Sizes) -> Option<Finding> {
    if told.fits {
        return None;
    }
    let buffers = sheet.problem.buffers();
    let size = |at: &usize| buffers.get(*at).map_or(0, |buffer| buffer.size);
    let capacity = told.capacity_bytes;
    let Some(usable) = sizes.within(capacity) else {
        let message = format!("the capacity is {capacity}, below the smallest size that the memory can have");
        let finding = Finding::error(Code::PackExceeded, message).in_file(&sheet.file, "");
        return Some(finding.help("give more capacity, or a smaller --power-of-two"));
    };
    let cut = if usable == capacity { String::new() } else { format!(", of which a power of two is {usable}") };
    let mut listed: Vec<usize>;
    let (message, help);
    if told.witness_bytes > usable {
        listed = plan.bound.witness.clone();
        message = match (listed.as_slice(), plan.bound.instant) {
            ([one], _) => {
                let pinned = buffers.get(*one).and_then(|buffer| buffer.pinned);
                let at = pinned.map_or_else(String::new, |offset| format!(" at its offset {offset}"));
                let (id, bytes) = (sheet.ids.get(*one).map_or("?", String::as_str), told.witness_bytes);
                format!("`{id}`{at} alone reaches {bytes} bytes; the capacity is {capacity}{cut}")
            }
            (several, Some(instant)) => format!(
                "{} buffers that are live at instant {instant} need {} bytes; the capacity is {capacity}{cut}",
                several.len(),
                told.witness_bytes
            ),
            (several, None) => format!(
                "{} buffers that conflict pairwise need {} bytes; the capacity is {capacity}{cut}",
                several.len(),
                told.witness_bytes
            ),
        };
        help = "no plan can fit them: make some of them smaller, shorten a lifespan, or give more capacity".to_owned();
    } else {
        let above = |at: &usize| plan.offsets.get(*at).is_some_and(|offset| offset + size(at) > usable);
        listed = (0..buffers.len()).filter(above).collect();
        let best = format!("the lowest plan found has {} bytes; the capacity is {capacity}{cut}", told.height_bytes);
        let start = |at: &usize| buffers.get(*at).and_then(|buffer| buffer.live.first()).map(|range| range.start);
        let first = listed.iter().filter_map(start).min().unwrap_or(0);
        message = format!("{best}, and {} buffers lie above it, the first from instant {first}", listed.len());
        help = if told.lower_bound_bytes > usable {
            format!("no plan has less than {} bytes: everything lower was searched", told.lower_bound_bytes)
        } else if told.out_of_time {
            "the time limit ended the search: a plan may exist; give more --time".to_owned()
        } else {
            format!("a plan may exist: {} nodes did not decide it; give more --nodes", told.nodes)
        };
    }
    listed.sort_by_key(|at| (std::cmp::Reverse(size(at)), *at));
    let mut finding = Finding::error(Code::PackExceeded, message).help(help);
    for (rank, at) in listed.iter().take(MOST_LISTED).enumerate() {
        let span = sheet.spans.get(*at).cloned().unwrap_or(0..0);
        let more = if rank + 1 == MOST_LISTED { listed.len() - MOST_LISTED } else { 0 };
        let also = if more > 0 { format!(", and {more} smaller ones") } else { String::new() };
        let text = format!("{} bytes{also}", size(at));
        finding = if rank == 0 { finding.at(&sheet.file, span, text) } else { finding.also(&sheet.file, span, text) };
    }
    Some(finding)
}
