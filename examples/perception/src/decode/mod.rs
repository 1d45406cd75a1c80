//! The decoders turn a model's raw output tensors into the few facts that the vehicle acts on.
//!
//! Every decoder is a pure function over slices. It allocates nothing and cannot panic: a slice of the wrong
//! length gives an empty result, and a value that is not finite never becomes a fact. Results lie in storage of a
//! fixed size that the caller owns, so a decoder may run in an output hook, on a lane's real-time thread.
//!
//! Image positions are fractions of the picture: 0 is the left or upper edge, 1 the right or lower one.

pub mod face;
pub mod lines;
pub mod orientation;
pub mod signs;
pub mod voice;

use heapless::Vec;

/// Puts `item` into `ranking`, which is ordered from the highest score to the lowest, and drops the lowest one where
/// the ranking is full.
///
/// Among equal scores the item that came first stays in front. An item whose score is not above the lowest one of a
/// full ranking changes nothing. Cost: one binary search and at most `N` moves.
fn insert_ranked<T, const N: usize>(ranking: &mut Vec<T, N>, item: T, score: impl Fn(&T) -> f32) {
    let value = score(&item);
    let place = ranking.partition_point(|ranked| score(ranked) >= value);
    if ranking.is_full() {
        if place == ranking.len() {
            return;
        }
        ranking.pop();
    }
    // There is room now and `place` is at most the length, so nothing is refused.
    let _ = ranking.insert(place, item);
}

/// Whether a slice from a model has the length that its decoder expects and only finite values.
fn is_sound(values: &[f32], length: usize) -> bool {
    values.len() == length && values.iter().all(|value| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranked<const N: usize>(values: &[f32]) -> Vec<f32, N> {
        let mut ranking = Vec::new();
        for &value in values {
            insert_ranked(&mut ranking, value, |item| *item);
        }
        ranking
    }

    #[test]
    fn a_full_ranking_keeps_the_highest_scores_in_order() {
        assert_eq!(ranked::<3>(&[0.2, 0.9, 0.1, 0.5, 0.7]), [0.9, 0.7, 0.5]);
    }

    #[test]
    fn a_low_score_does_not_enter_a_full_ranking() {
        assert_eq!(ranked::<2>(&[0.9, 0.7, 0.7, 0.1]), [0.9, 0.7]);
    }

    #[test]
    fn a_ranking_without_room_stays_empty() {
        assert!(ranked::<0>(&[0.9]).is_empty());
    }

    #[test]
    fn wrong_lengths_and_infinities_are_unsound() {
        assert!(is_sound(&[0.0, 1.0], 2));
        assert!(!is_sound(&[0.0], 2));
        assert!(!is_sound(&[0.0, f32::NAN], 2));
    }
}
