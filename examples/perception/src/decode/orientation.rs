//! The orientation decoder tells by how many quarter turns the camera's picture is rotated.
//!
//! The model's answer is four probabilities, for pictures turned clockwise by 0, 90, 180 and 270 degrees. Pictures
//! without an up and a down, such as a lawn, spread them evenly: those give no fact.

use super::is_sound;

/// The classes of the model: the length of output `fetch_name_0`.
pub const CLASSES: usize = 4;
/// The probability that the best class must exceed to be reported: a lawn reaches 0.4, a brick pavement 0.6.
pub const MIN_PROBABILITY: f32 = 0.8;

/// The picture's rotation, and how sure the model is of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Orientation {
    /// The clockwise rotation in degrees: 0, 90, 180 or 270.
    pub degrees: u16,
    /// The probability of this class, 0 to 1.
    pub probability: f32,
}

/// The picture's orientation, or nothing where no class exceeds `min_probability` or `probabilities` is not the
/// model's output of four finite numbers.
pub fn orientation(probabilities: &[f32], min_probability: f32) -> Option<Orientation> {
    if !is_sound(probabilities, CLASSES) {
        return None;
    }
    [0, 90, 180, 270]
        .into_iter()
        .zip(probabilities)
        .map(|(degrees, &probability)| Orientation { degrees, probability })
        .filter(|class| class.probability > min_probability)
        .max_by(|a, b| a.probability.total_cmp(&b.probability))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_probable_class_is_the_rotation() {
        let found = orientation(&[0.02, 0.93, 0.02, 0.03], MIN_PROBABILITY);
        assert_eq!(found, Some(Orientation { degrees: 90, probability: 0.93 }));
    }

    #[test]
    fn an_even_answer_is_no_fact() {
        assert_eq!(orientation(&[0.28, 0.19, 0.26, 0.27], MIN_PROBABILITY), None);
    }

    #[test]
    fn a_short_or_unreal_answer_is_no_fact() {
        assert_eq!(orientation(&[0.9], MIN_PROBABILITY), None);
        assert_eq!(orientation(&[0.9, f32::NAN, 0.0, 0.0], MIN_PROBABILITY), None);
    }
}
