//! The voice decoder turns Silero's probabilities, one for each 32 ms of sound, into "someone is speaking".
//!
//! The model is recurrent: its output `stateN` is the next chunk's input `state`. Chunks must therefore be processed
//! in order, and a chunk that was lost makes the state stale by that chunk.

use super::is_sound;

/// Numbers in the recurrent state, shape 2 × 1 × 128. It starts as zeros.
pub const STATE: usize = 2 * 128;
/// A chunk with at least this probability starts speech.
pub const START_PROBABILITY: f32 = 0.5;
/// A chunk below this probability may end speech; chunks between the two change nothing.
pub const END_PROBABILITY: f32 = 0.35;
/// As many chunks below [`END_PROBABILITY`] in a row end speech: 4 × 32 ms.
pub const END_CHUNKS: u8 = 4;

/// The probability, 0 to 1, that the chunk holds a voice, or nothing where `output` is not one finite number.
pub fn probability(output: &[f32]) -> Option<f32> {
    match output {
        [probability] if probability.is_finite() => Some(probability.clamp(0.0, 1.0)),
        _ => None,
    }
}

/// Copies the model's output `stateN` into the next chunk's input `state`, and says whether it could.
///
/// Where `next` is not 256 finite numbers, `state` is set to zeros, as at start-up, so that one bad chunk cannot spoil
/// all later ones.
pub fn carry_state(next: &[f32], state: &mut [f32]) -> bool {
    if is_sound(next, STATE) && state.len() == STATE {
        state.copy_from_slice(next);
        true
    } else {
        state.fill(0.0);
        false
    }
}

/// Remembers from chunk to chunk whether someone speaks, so that short pauses do not end speech.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SpeechGate {
    speaks: bool,
    quiet_chunks: u8,
}

impl SpeechGate {
    /// Takes the next chunk's probability and says whether someone speaks.
    pub fn update(&mut self, probability: f32) -> bool {
        if probability >= START_PROBABILITY {
            self.speaks = true;
            self.quiet_chunks = 0;
        } else if self.speaks && probability < END_PROBABILITY {
            self.quiet_chunks = self.quiet_chunks.saturating_add(1);
            self.speaks = self.quiet_chunks < END_CHUNKS;
        } else {
            self.quiet_chunks = 0;
        }
        self.speaks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(probabilities: &[f32]) -> Vec<bool> {
        let mut gate = SpeechGate::default();
        probabilities.iter().map(|&probability| gate.update(probability)).collect()
    }

    #[test]
    fn one_finite_number_is_a_probability() {
        assert_eq!(probability(&[0.25]), Some(0.25));
        assert_eq!(probability(&[]), None);
        assert_eq!(probability(&[0.1, 0.2]), None);
        assert_eq!(probability(&[f32::NAN]), None);
    }

    #[test]
    fn the_state_is_carried_or_reset() {
        let mut state = [7.0; STATE];
        assert!(carry_state(&[0.5; STATE], &mut state));
        assert_eq!(state, [0.5; STATE]);
        assert!(!carry_state(&[f32::INFINITY; STATE], &mut state));
        assert_eq!(state, [0.0; STATE]);
        assert!(!carry_state(&[0.5; 3], &mut state));
        assert!(!carry_state(&[0.5; STATE], &mut state[1..]));
    }

    #[test]
    fn a_short_pause_does_not_end_speech() {
        assert_eq!(gate(&[0.9, 0.1, 0.1, 0.1, 0.4, 0.1]), [true; 6]);
    }

    #[test]
    fn a_long_pause_ends_speech() {
        assert_eq!(gate(&[0.9, 0.1, 0.1, 0.1, 0.1, 0.4]), [true, true, true, true, false, false]);
    }

    #[test]
    fn silence_is_no_speech() {
        assert_eq!(gate(&[0.0, 0.3, 0.49]), [false; 3]);
    }
}
