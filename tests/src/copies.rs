//! Carries out what a compacting level copies, on arenas of which each 64 bytes know whose they are.

use crate::live::{self, When};
use aegis_codegen::plan::{Level, Plan};
use std::ops::Range;

/// A model's position and its tensor's.
type Name = (usize, usize);

/// A kept tensor with its places without pressure and at the level, in steps of 64 bytes.
struct Kept {
    name: Name,
    pool: usize,
    from: Range<usize>,
    to: Range<usize>,
}

/// The kept tensors of the models that stay.
fn kept(plan: &Plan, level: &Level) -> Vec<Kept> {
    let place = |at: u64, bytes: u64| {
        let step = |at: u64| usize::try_from(at / 64).unwrap();
        step(at)..step(at + bytes.next_multiple_of(64))
    };
    let stays = (0..plan.models.len()).filter(|model| !live::is_shed(plan, level, *model));
    let of = |model: usize| {
        let (own, moved) = (&plan.models[model], &level.models[model]);
        let places = live::tensors(own).zip(live::tensors(moved)).zip(live::lives(own)).enumerate();
        places.filter(|(_, (_, life))| *life == When::Kept).map(move |(tensor, ((own_place, other), _))| Kept {
            name: (model, tensor),
            pool: usize::from(own.pool),
            from: place(own_place.at, own_place.bytes),
            to: place(other.at, other.bytes),
        })
    };
    stays.flat_map(of).collect()
}

/// Enters the level and leaves it, as its list of moves says.
///
/// # Errors
/// What is wrong: a move that is none, or a tensor whose contents are lost.
pub fn carried_out(plan: &Plan, level: &Level) -> Result<(), String> {
    if level.models.is_empty() {
        return if level.moves.is_empty() { Ok(()) } else { Err("moves without places".to_owned()) };
    }
    let kept = kept(plan, level);
    let end = kept.iter().map(|tensor| tensor.from.end.max(tensor.to.end)).max().unwrap_or(0);
    let mut arenas: Vec<Vec<Option<Name>>> = vec![vec![None; end]; plan.pools.len()];
    for tensor in &kept {
        arenas[tensor.pool][tensor.from.clone()].fill(Some(tensor.name));
    }
    let mut moves = Vec::new();
    for (model, tensor) in &level.moves {
        let name = (usize::from(*model), usize::from(*tensor));
        let moved = kept.iter().find(|tensor| tensor.name == name && tensor.from != tensor.to);
        let moved = moved.ok_or_else(|| format!("{name:?} is no kept tensor that moves"))?;
        if moves.iter().any(|other: &&Kept| other.name == name) {
            return Err(format!("{name:?} moves twice"));
        }
        moves.push(moved);
    }
    let hold = |arenas: &[Vec<Option<Name>>], place: fn(&Kept) -> &Range<usize>| {
        let lost = kept
            .iter()
            .find(|tensor| arenas[tensor.pool][place(tensor).clone()].iter().any(|own| *own != Some(tensor.name)));
        lost.map_or(Ok(()), |lost| Err(format!("{:?} is lost by {:?}", lost.name, level.moves)))
    };
    for moved in &moves {
        arenas[moved.pool].copy_within(moved.from.clone(), moved.to.start);
    }
    hold(&arenas, |tensor| &tensor.to)?;
    for moved in moves.iter().rev() {
        arenas[moved.pool].copy_within(moved.to.clone(), moved.from.start);
    }
    hold(&arenas, |tensor| &tensor.from)
}
