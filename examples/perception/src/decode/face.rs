//! The face decoder turns BlazeFace's 896 anchor predictions into a few boxes, the surest one first.
//!
//! The front model (128 × 128 pixels) predicts on two grids of cells: 16 × 16 with 2 anchors a cell, then 8 × 8 with
//! 6. An anchor is its cell's centre. Each prediction is a logit and 16 numbers in pixels of the 128 × 128 input: the
//! box centre relative to the anchor, width, height, and six key points, which are not used here.
//! Anchors and threshold are those of the package's own post-processing (`Postprocess1Kernel.hlsl`).

use heapless::Vec;

/// Predictions on the 16 × 16 grid: the length of output `Identity:0`.
pub const FINE_ANCHORS: usize = 16 * 16 * FINE_PER_CELL;
/// Predictions on the 8 × 8 grid: the length of output `Identity_1:0`.
pub const COARSE_ANCHORS: usize = 8 * 8 * COARSE_PER_CELL;
/// Numbers of one prediction in outputs `Identity_2:0` and `Identity_3:0`.
pub const BOX_NUMBERS: usize = 16;
/// The probability that a face must exceed to be reported, from the package's default.
pub const MIN_SCORE: f32 = 0.75;

const FINE_PER_CELL: usize = 2;
const COARSE_PER_CELL: usize = 6;
const INPUT_PIXELS: f32 = 128.0;
/// Of two boxes that share more than this part of their union, the surer one stays.
const MAX_OVERLAP: f32 = 0.3;

/// One face: its box as fractions of the picture, inside 0 to 1, and its probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaceBox {
    /// The left edge, 0 to 1.
    pub left: f32,
    /// The upper edge, 0 to 1.
    pub top: f32,
    /// The right edge, 0 to 1.
    pub right: f32,
    /// The lower edge, 0 to 1.
    pub bottom: f32,
    /// The probability, 0 to 1.
    pub score: f32,
}

impl FaceBox {
    /// The box of one prediction, or nothing where it is empty, outside the picture or not finite.
    fn decode(logit: f32, numbers: &[f32], anchor: (f32, f32)) -> Option<Self> {
        let [x, y, width, height, ..] = numbers else {
            return None;
        };
        let (x, y) = (anchor.0 + x / INPUT_PIXELS, anchor.1 + y / INPUT_PIXELS);
        let (half_width, half_height) = (width / INPUT_PIXELS / 2.0, height / INPUT_PIXELS / 2.0);
        let face = Self {
            left: (x - half_width).clamp(0.0, 1.0),
            top: (y - half_height).clamp(0.0, 1.0),
            right: (x + half_width).clamp(0.0, 1.0),
            bottom: (y + half_height).clamp(0.0, 1.0),
            score: sigmoid(logit),
        };
        // False for a number that is not finite, too: `clamp` keeps NaN, and NaN compares false.
        (face.area() > 0.0 && face.right > face.left).then_some(face)
    }

    /// The box's area as a fraction of the picture's, 0 to 1.
    pub fn area(&self) -> f32 {
        (self.right - self.left) * (self.bottom - self.top)
    }

    /// The part of their union that two boxes share, 0 to 1.
    fn overlap(&self, other: &Self) -> f32 {
        let width = (self.right.min(other.right) - self.left.max(other.left)).max(0.0);
        let height = (self.bottom.min(other.bottom) - self.top.max(other.top)).max(0.0);
        let shared = width * height;
        shared / (self.area() + other.area() - shared)
    }
}

/// Fills `faces` with the faces whose probability exceeds `min_score`, the surest first, overlapping ones removed.
///
/// `fine_scores`, `coarse_scores`, `fine_boxes` and `coarse_boxes` are the outputs `Identity:0`, `Identity_1:0`,
/// `Identity_2:0` and `Identity_3:0`. Where one has another length than the model's, or `min_score` is no probability,
/// `faces` is left empty. Cost: at most `N` passes over the 896 anchors.
pub fn faces<const N: usize>(
    fine_scores: &[f32],
    coarse_scores: &[f32],
    fine_boxes: &[f32],
    coarse_boxes: &[f32],
    min_score: f32,
    faces: &mut Vec<FaceBox, N>,
) {
    faces.clear();
    if fine_scores.len() != FINE_ANCHORS
        || coarse_scores.len() != COARSE_ANCHORS
        || fine_boxes.len() != FINE_ANCHORS * BOX_NUMBERS
        || coarse_boxes.len() != COARSE_ANCHORS * BOX_NUMBERS
        || !(0.0..=1.0).contains(&min_score)
    {
        return;
    }
    let min_logit = logit(min_score);
    while !faces.is_full() {
        // The surest prediction that overlaps none of the accepted ones: greedy non-maximum suppression.
        let mut best: Option<(f32, FaceBox)> = None;
        let boxes = fine_boxes.chunks_exact(BOX_NUMBERS).chain(coarse_boxes.chunks_exact(BOX_NUMBERS));
        for (index, (&logit, numbers)) in fine_scores.iter().chain(coarse_scores).zip(boxes).enumerate() {
            let to_beat = best.map_or(min_logit, |(logit, _)| logit);
            if !logit.is_finite() || logit <= to_beat {
                continue;
            }
            let Some(face) = FaceBox::decode(logit, numbers, anchor(index)) else {
                continue;
            };
            if faces.iter().all(|accepted| accepted.overlap(&face) <= MAX_OVERLAP) {
                best = Some((logit, face));
            }
        }
        let Some((_, face)) = best else {
            return;
        };
        // There is room: the loop's condition.
        let _ = faces.push(face);
    }
}

/// The centre of the cell that prediction `index` belongs to, as fractions of the picture.
fn anchor(index: usize) -> (f32, f32) {
    let (cell, side) = match index.checked_sub(FINE_ANCHORS) {
        None => (index / FINE_PER_CELL, 16),
        Some(coarse) => (coarse / COARSE_PER_CELL, 8),
    };
    let fraction = |step: usize| (step as f32 + 0.5) / side as f32;
    (fraction(cell % side), fraction(cell / side))
}

fn sigmoid(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

/// The inverse of [`sigmoid`].
fn logit(probability: f32) -> f32 {
    (probability / (1.0 - probability)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Outputs {
        scores: [std::vec::Vec<f32>; 2],
        boxes: [std::vec::Vec<f32>; 2],
    }

    impl Outputs {
        fn nothing() -> Self {
            let lengths = [FINE_ANCHORS, COARSE_ANCHORS];
            Self {
                scores: lengths.map(|length| vec![-9.0; length]),
                boxes: lengths.map(|length| vec![0.0; length * BOX_NUMBERS]),
            }
        }

        fn predict(mut self, grid: usize, index: usize, logit: f32, numbers: [f32; 4]) -> Self {
            self.scores[grid][index] = logit;
            self.boxes[grid][index * BOX_NUMBERS..][..4].copy_from_slice(&numbers);
            self
        }

        fn decode(&self) -> Vec<FaceBox, 4> {
            let mut found = Vec::new();
            let [fine, coarse] = &self.scores;
            let [fine_boxes, coarse_boxes] = &self.boxes;
            faces(fine, coarse, fine_boxes, coarse_boxes, MIN_SCORE, &mut found);
            found
        }
    }

    #[test]
    fn a_prediction_is_relative_to_its_anchor() {
        // Coarse prediction 6 is the first of the second cell, whose centre is at (1.5 / 8, 0.5 / 8).
        let found = Outputs::nothing().predict(1, 6, 2.0, [8.0, 4.0, 16.0, 8.0]).decode();
        let x = 1.5 / 8.0 + 8.0 / 128.0;
        let y = 0.5 / 8.0 + 4.0 / 128.0;
        let expected = FaceBox {
            left: x - 8.0 / 128.0,
            top: y - 4.0 / 128.0,
            right: x + 8.0 / 128.0,
            bottom: y + 4.0 / 128.0,
            score: sigmoid(2.0),
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn the_surer_of_two_overlapping_boxes_stays() {
        let found = Outputs::nothing()
            .predict(0, 100, 2.0, [0.0, 0.0, 32.0, 32.0])
            .predict(0, 101, 3.0, [1.0, 0.0, 32.0, 32.0])
            .decode();
        assert_eq!(found.len(), 1);
        assert!((found[0].score - sigmoid(3.0)).abs() < 1e-6);
    }

    #[test]
    fn distant_faces_both_stay_in_the_order_of_their_scores() {
        let found = Outputs::nothing()
            .predict(0, 100, 2.0, [0.0, 0.0, 20.0, 20.0])
            .predict(1, 383, 3.0, [0.0, 0.0, 20.0, 20.0])
            .decode();
        assert_eq!(found.len(), 2);
        assert!(found[0].score > found[1].score && found[0].left > found[1].left);
    }

    #[test]
    fn a_low_score_is_no_face() {
        let found = Outputs::nothing().predict(0, 100, logit(0.74), [0.0, 0.0, 20.0, 20.0]).decode();
        assert!(found.is_empty());
    }

    #[test]
    fn a_box_that_is_not_finite_or_empty_is_no_face() {
        for numbers in [[f32::NAN, 0.0, 9.0, 9.0], [0.0, 0.0, -9.0, -9.0], [0.0, 999.0, 9.0, 9.0]] {
            assert!(Outputs::nothing().predict(0, 100, 5.0, numbers).decode().is_empty());
        }
    }

    #[test]
    fn a_full_result_takes_no_more() {
        let mut outputs = Outputs::nothing();
        for index in (0..FINE_ANCHORS).step_by(2) {
            outputs = outputs.predict(0, index, 2.0, [0.0, 0.0, 4.0, 4.0]);
        }
        assert_eq!(outputs.decode().len(), 4);
    }

    #[test]
    fn short_slices_give_no_face() {
        let outputs = Outputs::nothing().predict(0, 0, 5.0, [0.0, 0.0, 20.0, 20.0]);
        let mut found: Vec<FaceBox, 4> = Vec::new();
        faces(&outputs.scores[0], &[], &outputs.boxes[0], &[], MIN_SCORE, &mut found);
        assert!(found.is_empty());
    }
}
