//! The audio is what the courier's microphone hears: a recording, read at start-up and cut into the voice model's windows.
//!
//! Reading, mixing and resampling belong to start-up. A hook only copies one window.

use std::io;
use std::path::{Path, PathBuf};

/// The voice model's sample rate in hertz.
pub const RATE: u32 = 16_000;
/// New samples in one window: 32 ms.
pub const CHUNK: usize = 512;
/// Samples before the chunk that the model also wants: 4 ms.
pub const CONTEXT: usize = 64;
/// Samples in the model's input.
pub const WINDOW: usize = CONTEXT + CHUNK;

/// Why a recording cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// The file is missing or unreadable.
    #[error("cannot read the recording {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is no WAV file that this reader knows.
    #[error("cannot use the recording {}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: WaveError,
    },
}

/// What is wrong with a WAV file.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum WaveError {
    /// It does not begin with `RIFF` … `WAVE`.
    #[error("not a WAV file")]
    NotWave,
    /// A chunk is missing or shorter than it says.
    #[error("its `{0}` chunk is missing or cut off")]
    Chunk(&'static str),
    /// The samples are not 16-bit integers.
    #[error("its samples have format {format} with {bits} bits; only format 1 with 16 bits is read")]
    Samples {
        /// The format code of the `fmt ` chunk.
        format: u16,
        /// The bits of one sample.
        bits: u16,
    },
    /// It has no channel, or a sample rate of 0.
    #[error("it has {channels} channels at {rate} Hz")]
    Layout {
        /// Channels.
        channels: u16,
        /// Samples a second of each channel.
        rate: u32,
    },
}

/// A recording at 16 kHz with one channel, values −1 to 1.
#[derive(Debug)]
pub struct Clip {
    samples: Vec<f32>,
}

impl Clip {
    /// Reads a WAV file of 16-bit samples; channels are averaged, other rates resampled by linear interpolation.
    pub fn read(path: &Path) -> Result<Self, AudioError> {
        let bytes = std::fs::read(path).map_err(|source| AudioError::Read { path: path.to_owned(), source })?;
        Self::parse(&bytes).map_err(|source| AudioError::Format { path: path.to_owned(), source })
    }

    fn parse(bytes: &[u8]) -> Result<Self, WaveError> {
        let (header, chunks) = bytes.split_at_checked(12).ok_or(WaveError::NotWave)?;
        if !header.starts_with(b"RIFF") || !header.ends_with(b"WAVE") {
            return Err(WaveError::NotWave);
        }
        let [format, bits] = [(0, 2), (14, 16)].map(|at| field(chunks, at).map(u16::from_le_bytes));
        let (format, bits) = (format?, bits?);
        if (format, bits) != (1, 16) {
            return Err(WaveError::Samples { format, bits });
        }
        let channels = u16::from_le_bytes(field(chunks, (2, 4))?);
        let rate = u32::from_le_bytes(field(chunks, (4, 8))?);
        if channels == 0 || rate == 0 {
            return Err(WaveError::Layout { channels, rate });
        }
        let frame_bytes = 2 * usize::from(channels);
        let samples = chunk(chunks, "data")?.chunks_exact(frame_bytes).map(|frame| {
            let sum: f32 = frame.chunks_exact(2).map(|s| s.try_into().map_or(0.0, sample)).sum();
            sum / f32::from(channels)
        });
        Ok(Self { samples: resampled(samples.collect(), rate) })
    }

    /// Whole chunks of the recording; the hook plays them in a loop by taking its job number modulo this.
    pub fn chunks(&self) -> usize {
        self.samples.len() / CHUNK
    }

    /// Copies window `chunk` into the model's input: the 64 samples before the chunk, then its 512 samples.
    ///
    /// Before the recording's beginning and after its end there is silence, so every chunk number is valid. Where
    /// `window` is shorter than 576 it gets the window's first part, where it is longer the rest becomes silence.
    pub fn fill_window(&self, chunk: usize, window: &mut [f32]) {
        let end_of_chunk = chunk.saturating_add(1).saturating_mul(CHUNK);
        for (index, value) in window.iter_mut().enumerate() {
            let place = end_of_chunk.saturating_add(index).checked_sub(WINDOW);
            let place = place.filter(|_| index < WINDOW);
            *value = place.and_then(|place| self.samples.get(place)).copied().unwrap_or(0.0);
        }
    }
}

/// One 16-bit sample as −1 to 1.
fn sample(bytes: [u8; 2]) -> f32 {
    f32::from(i16::from_le_bytes(bytes)) / 32_768.0
}

/// The bytes `from..to` of the `fmt ` chunk.
fn field<const N: usize>(chunks: &[u8], (from, to): (usize, usize)) -> Result<[u8; N], WaveError> {
    let bytes = chunk(chunks, "fmt ")?.get(from..to);
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(WaveError::Chunk("fmt "))
}

/// The content of the first chunk with this name.
fn chunk<'a>(mut chunks: &'a [u8], name: &'static str) -> Result<&'a [u8], WaveError> {
    let missing = WaveError::Chunk(name);
    while let Some(([n0, n1, n2, n3, l0, l1, l2, l3], rest)) = chunks.split_first_chunk() {
        let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        if [*n0, *n1, *n2, *n3] == name.as_bytes() {
            return rest.get(..length).ok_or(missing);
        }
        // Chunks begin at even places.
        chunks = rest.get(length.saturating_add(length % 2)..).unwrap_or_default();
    }
    Err(missing)
}

/// The samples at 16 kHz, by linear interpolation; rates above 16 kHz are not filtered first and may alias.
fn resampled(samples: Vec<f32>, rate: u32) -> Vec<f32> {
    if rate == RATE {
        return samples;
    }
    let (from, to) = (rate as usize, RATE as usize);
    // Target sample `index` lies at index · from / to; the whole part is exact.
    let count = samples.len().saturating_mul(to) / from;
    let value = |index: usize| samples.get(index).or(samples.last()).copied().unwrap_or(0.0);
    (0..count)
        .map(|index| {
            let position = index * from;
            let weight = (position % to) as f32 / to as f32;
            value(position / to) * (1.0 - weight) + value(position / to + 1) * weight
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(format: u16, channels: u16, rate: u32, bits: u16, samples: &[i16]) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WAVEjunk\x03\0\0\0abc\0fmt \x10\0\0\0".to_vec();
        bytes.extend(format.to_le_bytes());
        bytes.extend(channels.to_le_bytes());
        bytes.extend(rate.to_le_bytes());
        bytes.extend([0; 6]);
        bytes.extend(bits.to_le_bytes());
        bytes.extend(b"data");
        bytes.extend(u32::try_from(samples.len() * 2).unwrap().to_le_bytes());
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        bytes
    }

    #[test]
    fn samples_become_fractions() {
        let clip = Clip::parse(&wave(1, 1, RATE, 16, &[0, 16_384, -32_768])).unwrap();
        assert_eq!(clip.samples, [0.0, 0.5, -1.0]);
    }

    #[test]
    fn channels_are_averaged() {
        let clip = Clip::parse(&wave(1, 2, RATE, 16, &[0, 16_384, -16_384, 16_384])).unwrap();
        assert_eq!(clip.samples, [0.25, 0.0]);
    }

    #[test]
    fn other_rates_are_resampled() {
        let clip = Clip::parse(&wave(1, 1, 8_000, 16, &[0, 16_384])).unwrap();
        assert_eq!(clip.samples, [0.0, 0.25, 0.5, 0.5]);
        let clip = Clip::parse(&wave(1, 1, 48_000, 16, &[0, 1, 2, 16_384, 4, 5])).unwrap();
        assert_eq!(clip.samples, [0.0, 0.5]);
    }

    #[test]
    fn a_window_has_the_context_before_its_chunk() {
        let samples: Vec<f32> = (0..2 * CHUNK + 10).map(|index| index as f32 + 1.0).collect();
        let clip = Clip { samples };
        assert_eq!(clip.chunks(), 2);
        let mut window = [9.0; WINDOW + 1];
        clip.fill_window(0, &mut window);
        assert_eq!((window[CONTEXT - 1], window[CONTEXT], window[WINDOW - 1], window[WINDOW]), (0.0, 1.0, 512.0, 0.0));
        clip.fill_window(1, &mut window);
        assert_eq!((window[0], window[CONTEXT], window[WINDOW - 1]), (449.0, 513.0, 1024.0));
    }

    #[test]
    fn beyond_the_end_there_is_silence() {
        let clip = Clip { samples: vec![0.5; CHUNK] };
        let mut window = [9.0; WINDOW];
        clip.fill_window(2, &mut window);
        assert_eq!(window, [0.0; WINDOW]);
        clip.fill_window(usize::MAX, &mut window);
        assert_eq!(window, [0.0; WINDOW]);
        clip.fill_window(0, &mut []);
    }

    #[test]
    fn what_is_no_recording_is_refused() {
        let error = |bytes: &[u8]| Clip::parse(bytes).unwrap_err();
        assert_eq!(error(b"RIFF"), WaveError::NotWave);
        assert_eq!(error(b"RIFF\0\0\0\0AVI \0\0\0\0"), WaveError::NotWave);
        assert_eq!(error(b"RIFF\0\0\0\0WAVE"), WaveError::Chunk("fmt "));
        let sound = wave(1, 1, RATE, 16, &[1, 2, 3]);
        assert_eq!(error(&sound[..sound.len() - 1]), WaveError::Chunk("data"));
        assert_eq!(error(&wave(3, 1, RATE, 32, &[])), WaveError::Samples { format: 3, bits: 32 });
        assert_eq!(error(&wave(1, 0, RATE, 16, &[])), WaveError::Layout { channels: 0, rate: RATE });
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let error = Clip::read(Path::new("/nowhere.wav")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the recording /nowhere.wav");
    }
}
