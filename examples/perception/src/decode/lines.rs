//! The line decoder turns M-LSD's centre map and displacement map into straight segments, the surest one first.
//!
//! The model (320 × 320 pixels) answers on a grid of 160 × 160 cells. `scores` holds the probability that a cell is
//! a segment's centre; the model has already set every cell to 0 that is not the highest of its 5 × 5 neighbourhood.
//! `offsets` holds the displacements of both ends from that cell, in cells: x and y of one end, x and y of the other.

use super::insert_ranked;
use heapless::Vec;

/// Cells along one side of the model's answer.
pub const GRID: usize = 160;
/// The probability that a segment must exceed to be reported: twice what lawn or gravel reach.
pub const MIN_SCORE: f32 = 0.2;
/// The length that a segment must exceed to be reported, as a fraction of the picture's side (20 of 512 pixels, the
/// default of M-LSD's authors).
pub const MIN_LENGTH: f32 = 20.0 / 512.0;

/// One straight segment: its ends as fractions of the picture, inside 0 to 1, and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Segment {
    /// One end: x, y.
    pub start: [f32; 2],
    /// The other end: x, y.
    pub end: [f32; 2],
    /// The probability of the segment's centre, 0 to 1.
    pub score: f32,
}

impl Segment {
    /// The length as a fraction of the picture's side, 0 to √2.
    pub fn length(&self) -> f32 {
        let [x, y] = self.extent();
        x.hypot(y)
    }

    /// The angle between the segment and the picture's vertical in degrees, above −90 and at most 90; positive where
    /// the upper end leans to the right.
    pub fn lean_degrees(&self) -> f32 {
        let [x, y] = self.extent();
        // From the lower end to the upper one, or to the right where both are equally high.
        let (right, up) = if y > 0.0 || (y == 0.0 && x < 0.0) { (-x, y) } else { (x, -y) };
        right.atan2(up).to_degrees()
    }

    fn extent(&self) -> [f32; 2] {
        [self.end[0] - self.start[0], self.end[1] - self.start[1]]
    }
}

/// Fills `segments` with the surest `N` segments that exceed `min_score` and `min_length`, the surest first.
///
/// `offsets` and `scores` are the model's outputs of the same names. Where one has another length than the model's,
/// `segments` is left empty. Cost: one pass over the 25,600 cells.
pub fn segments<const N: usize>(
    offsets: &[f32],
    scores: &[f32],
    min_score: f32,
    min_length: f32,
    segments: &mut Vec<Segment, N>,
) {
    segments.clear();
    if scores.len() != GRID * GRID || offsets.len() != GRID * GRID * 4 {
        return;
    }
    for (cell, (&score, ends)) in scores.iter().zip(offsets.chunks_exact(4)).enumerate() {
        // Not `score <= min_score`: a score that is no number is no segment.
        let is_sure = score > min_score;
        if !is_sure {
            continue;
        }
        let (x, y) = ((cell % GRID) as f32, (cell / GRID) as f32);
        let &[start_x, start_y, end_x, end_y] = ends else {
            continue;
        };
        let fraction = |cells: f32| (cells / GRID as f32).clamp(0.0, 1.0);
        let segment = Segment {
            start: [fraction(x + start_x), fraction(y + start_y)],
            end: [fraction(x + end_x), fraction(y + end_y)],
            score,
        };
        if segment.length() > min_length {
            insert_ranked(segments, segment, |segment| segment.score);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(predictions: &[(usize, usize, f32, [f32; 4])]) -> Vec<Segment, 2> {
        let mut scores = vec![0.0; GRID * GRID];
        let mut offsets = vec![0.0; GRID * GRID * 4];
        for &(x, y, score, ends) in predictions {
            scores[y * GRID + x] = score;
            offsets[(y * GRID + x) * 4..][..4].copy_from_slice(&ends);
        }
        let mut found = Vec::new();
        segments(&offsets, &scores, MIN_SCORE, MIN_LENGTH, &mut found);
        found
    }

    #[test]
    fn ends_are_displacements_from_the_centre() {
        let found = decode(&[(80, 40, 0.9, [-16.0, 8.0, 16.0, -8.0])]);
        let expected = Segment { start: [0.4, 0.3], end: [0.6, 0.2], score: 0.9 };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn the_surest_segments_stay_and_come_first() {
        let ends = [-20.0, 0.0, 20.0, 0.0];
        let found = decode(&[(50, 10, 0.3, ends), (50, 20, 0.8, ends), (50, 30, 0.5, ends)]);
        assert_eq!(found.iter().map(|segment| segment.score).collect::<std::vec::Vec<_>>(), [0.8, 0.5]);
    }

    #[test]
    fn weak_short_and_unreal_segments_are_left_out() {
        let long = [-20.0, 0.0, 20.0, 0.0];
        assert!(decode(&[(50, 10, 0.19, long)]).is_empty());
        assert!(decode(&[(50, 10, f32::NAN, long)]).is_empty());
        assert!(decode(&[(50, 10, 0.9, [-1.0, 0.0, 1.0, 0.0])]).is_empty());
        assert!(decode(&[(50, 10, 0.9, [f32::NAN, 0.0, 20.0, 0.0])]).is_empty());
    }

    #[test]
    fn ends_stay_inside_the_picture() {
        let found = decode(&[(2, 2, 0.9, [-30.0, -30.0, 30.0, 0.0])]);
        assert_eq!(found[0].start, [0.0, 0.0]);
    }

    #[test]
    fn the_lean_does_not_depend_on_the_order_of_the_ends() {
        let lean = |start, end| Segment { start, end, score: 1.0 }.lean_degrees();
        assert_eq!(lean([0.5, 0.9], [0.5, 0.1]), 0.0);
        assert_eq!(lean([0.5, 0.1], [0.5, 0.9]), 0.0);
        assert!((lean([0.1, 0.9], [0.9, 0.1]) - 45.0).abs() < 1e-4);
        assert!((lean([0.9, 0.1], [0.1, 0.9]) - 45.0).abs() < 1e-4);
        assert!((lean([0.1, 0.1], [0.9, 0.9]) + 45.0).abs() < 1e-4);
        assert_eq!(lean([0.1, 0.5], [0.9, 0.5]), 90.0);
        assert_eq!(lean([0.9, 0.5], [0.1, 0.5]), 90.0);
    }

    #[test]
    fn short_slices_give_no_segment() {
        let mut found: Vec<Segment, 2> = Vec::new();
        segments(&[0.0; 8], &[0.9; 2], MIN_SCORE, MIN_LENGTH, &mut found);
        assert!(found.is_empty());
    }
}
