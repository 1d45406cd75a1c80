//! The scene is what the courier's camera sees: five frames made from four real pictures, ready as every model's input.
//!
//! Reading a file and allocating belong to start-up. A hook only borrows a frame's ready tensors and copies them.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// Why a picture cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    /// The file is missing or unreadable.
    #[error("cannot open the picture {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file is no sound PNG.
    #[error("cannot decode the picture {}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        source: png::DecodingError,
    },
    /// The picture has no pixels, or more than fit in memory.
    #[error("the picture {} has an unusable size of {width} × {height} pixels", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
    },
}

/// Frames of the scene, in this order: a person's face, a printed page, a brick pavement, a lawn, and the person again
/// with the camera's picture turned clockwise by 90 degrees.
#[derive(Debug)]
pub struct Scene {
    frames: Vec<Frame>,
}

/// A frame with what it shows.
#[derive(Debug)]
pub struct Frame {
    /// What it shows.
    pub name: &'static str,
    /// The picture.
    pub picture: Picture,
}

/// One picture as the four vision models take it.
#[derive(Debug)]
pub struct Picture {
    /// 1 × 128 × 128 × 3, red green blue, −1 to 1: the whole picture.
    pub face: Vec<f32>,
    /// 1 × 320 × 320 × 4, red green blue 0 to 255 and the constant 1: the whole picture.
    pub lanes: Vec<f32>,
    /// 1 × 3 × 224 × 224, red green blue, standardised as for ImageNet: the middle square.
    pub orientation: Vec<f32>,
    /// 1 × 3 × 320 × 320, blue green red, −1 to 1: the whole picture.
    pub signs: Vec<f32>,
}

impl Scene {
    /// Reads the four pictures (PNG) and prepares all tensors, 18 MB.
    ///
    /// # Errors
    /// The first picture that cannot be used.
    pub fn load(person: &Path, page: &Path, brick: &Path, grass: &Path) -> Result<Self, SceneError> {
        let person = Image::read(person)?;
        let page = Image::read(page)?;
        let brick = Image::read(brick)?;
        let grass = Image::read(grass)?;
        let turned = person.turned_clockwise();
        let frames =
            [("person", &person), ("page", &page), ("brick", &brick), ("grass", &grass), ("person-turned", &turned)];
        let frame = |(name, image)| Frame { name, picture: Picture::new(image) };
        Ok(Self { frames: frames.into_iter().map(frame).collect() })
    }

    /// What the camera sees at an instant, in nanoseconds since the start: each frame for one second, over and over.
    ///
    /// Returns the frame with its position.
    #[must_use]
    pub fn at(&self, ns: u64) -> Option<(usize, &Frame)> {
        let position = usize::try_from(ns / 1_000_000_000).ok()? % self.frames.len();
        self.frames.get(position).map(|frame| (position, frame))
    }

    /// All frames, in the order that [`Scene`] states.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }
}

impl Picture {
    /// Reads a PNG file and prepares every model's tensor.
    ///
    /// # Errors
    /// The file cannot be read or is no picture.
    pub fn load(path: &Path) -> Result<Self, SceneError> {
        Image::read(path).map(|image| Self::new(&image))
    }

    fn new(image: &Image) -> Self {
        // Statistics of ImageNet's training pictures, which the orientation model was trained with.
        const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
        const DEVIATION: [f32; 3] = [0.229, 0.224, 0.225];
        let whole = image.whole();
        let symmetric = |[r, g, b]: [f32; 3]| [r, g, b].map(|value| value / 127.5 - 1.0);
        let face = image.resized(whole, 128, 128).into_iter().flat_map(symmetric).collect();
        let lanes = image.resized(whole, 320, 320).into_iter().flat_map(|[r, g, b]| [r, g, b, 1.0]).collect();
        // The model's own preparation: shorter side to 256 pixels, then the middle 224 × 224.
        let standardised = image.resized(image.middle_square(224, 256), 224, 224);
        let orientation = planes(&standardised, |pixel, channel| {
            let [value, mean, deviation] = [pixel, MEAN, DEVIATION].map(|of| of[channel]);
            (value / 255.0 - mean) / deviation
        });
        let signs = planes(&image.resized(whole, 320, 320), |pixel, channel| symmetric(pixel)[2 - channel]);
        Self { face, lanes, orientation, signs }
    }
}

/// All pixels' first channel, then all pixels' second, then all pixels' third.
fn planes(pixels: &[[f32; 3]], value: impl Fn([f32; 3], usize) -> f32) -> Vec<f32> {
    let value = &value;
    (0..3).flat_map(|channel| pixels.iter().map(move |&pixel| value(pixel, channel))).collect()
}

/// A decoded picture: red, green and blue of each pixel, row by row. It has at least one pixel.
struct Image {
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

/// A rectangle of pixels inside a picture, not empty.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Region {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Image {
    /// Decodes a PNG file; grey becomes red = green = blue, 16 bits become 8, transparency is ignored.
    fn read(path: &Path) -> Result<Self, SceneError> {
        let decode_error = |source| SceneError::Decode { path: path.to_owned(), source };
        let file = File::open(path).map_err(|source| SceneError::Open { path: path.to_owned(), source })?;
        let mut decoder = png::Decoder::new(BufReader::new(file));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().map_err(decode_error)?;
        let (width, height) = reader.info().size();
        let size_error = || SceneError::Size { path: path.to_owned(), width, height };
        let mut bytes = vec![0; reader.output_buffer_size().ok_or_else(size_error)?];
        let color = reader.next_frame(&mut bytes).map_err(decode_error)?.color_type;
        let pixels: Vec<[u8; 3]> = bytes
            .chunks_exact(color.samples())
            .map(|pixel| match *pixel {
                [red, green, blue, ..] => [red, green, blue],
                [grey, ..] => [grey; 3],
                [] => [0; 3],
            })
            .collect();
        Self::new(width as usize, height as usize, pixels).ok_or_else(size_error)
    }

    /// A picture, or nothing where it would have no pixels or another number of them than its size says.
    fn new(width: usize, height: usize, pixels: Vec<[u8; 3]>) -> Option<Self> {
        let is_sound = !pixels.is_empty() && width.checked_mul(height) == Some(pixels.len());
        is_sound.then_some(Self { width, height, pixels })
    }

    fn at(&self, x: usize, y: usize) -> [f32; 3] {
        self.pixels.get(y * self.width + x).copied().unwrap_or_default().map(f32::from)
    }

    fn whole(&self) -> Region {
        Region { x: 0, y: 0, width: self.width, height: self.height }
    }

    /// The square in the middle whose side is `numerator / denominator` of the shorter side, at least one pixel.
    fn middle_square(&self, numerator: usize, denominator: usize) -> Region {
        let side = (self.width.min(self.height) * numerator / denominator).max(1);
        Region { x: (self.width - side) / 2, y: (self.height - side) / 2, width: side, height: side }
    }

    /// The picture as a camera sees it that is turned by 90 degrees: the left edge becomes the upper edge.
    fn turned_clockwise(&self) -> Self {
        let pixels = (0..self.width)
            .flat_map(|x| (0..self.height).rev().map(move |y| y * self.width + x))
            .filter_map(|index| self.pixels.get(index).copied())
            .collect();
        Self { width: self.height, height: self.width, pixels }
    }

    /// A part of the picture scaled to `width` × `height` by bilinear interpolation, values 0 to 255, row by row.
    ///
    /// Pixel centres lie at half coordinates, and the region's edge pixels continue outwards. Nothing smooths the
    /// picture first, so shrinking keeps its sharpness and its aliasing.
    fn resized(&self, region: Region, width: usize, height: usize) -> Vec<[f32; 3]> {
        let columns: Vec<Tap> = (0..width).map(|x| Tap::new(x, width, region.x, region.width)).collect();
        let blend = |a: [f32; 3], b: [f32; 3], weight: f32| {
            let mut blended = a;
            for (value, other) in blended.iter_mut().zip(b) {
                *value = *value * (1.0 - weight) + other * weight;
            }
            blended
        };
        let mut pixels = Vec::with_capacity(width * height);
        for y in 0..height {
            let row = Tap::new(y, height, region.y, region.height);
            pixels.extend(columns.iter().map(|column| {
                let line = |y| blend(self.at(column.lower, y), self.at(column.upper, y), column.weight);
                blend(line(row.lower), line(row.upper), row.weight)
            }));
        }
        pixels
    }
}

/// The two source pixels that one target pixel lies between, and the upper one's weight, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tap {
    lower: usize,
    upper: usize,
    weight: f32,
}

impl Tap {
    /// Where target pixel `index` of `count` lies among the `length` source pixels from `first` on.
    fn new(index: usize, count: usize, first: usize, length: usize) -> Self {
        // (index + ½) · length / count − ½, as a fraction over 2 · count, so that the whole part is exact.
        let position = ((2 * index + 1) * length).saturating_sub(count);
        let last = length.saturating_sub(1);
        let lower = (position / (2 * count)).min(last);
        Self {
            lower: first + lower,
            upper: first + (lower + 1).min(last),
            weight: (position % (2 * count)) as f32 / (2 * count) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(width: usize, values: &[u8]) -> Image {
        Image::new(width, values.len() / width, values.iter().map(|&value| [value; 3]).collect()).unwrap()
    }

    fn reds(pixels: &[[f32; 3]]) -> Vec<f32> {
        pixels.iter().map(|pixel| pixel[0]).collect()
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let image = grey(3, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(reds(&image.resized(image.whole(), 3, 2)), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn enlarging_interpolates_and_continues_the_edges() {
        let image = grey(2, &[0, 100]);
        assert_eq!(reds(&image.resized(image.whole(), 4, 1)), [0.0, 25.0, 75.0, 100.0]);
    }

    #[test]
    fn halving_averages_neighbours() {
        let image = grey(4, &[0, 10, 20, 40, 10, 20, 40, 80]);
        assert_eq!(reds(&image.resized(image.whole(), 2, 1)), [10.0, 45.0]);
    }

    #[test]
    fn a_region_does_not_see_its_surroundings() {
        let image = grey(4, &[255, 8, 8, 255]);
        let region = Region { x: 1, y: 0, width: 2, height: 1 };
        assert_eq!(reds(&image.resized(region, 5, 1)), [8.0; 5]);
    }

    #[test]
    fn the_middle_square_is_centred() {
        let image = grey(8, &[0; 8 * 4]);
        assert_eq!(image.middle_square(1, 2), Region { x: 3, y: 1, width: 2, height: 2 });
    }

    #[test]
    fn a_clockwise_turn_brings_the_left_edge_up() {
        let image = grey(3, &[1, 2, 3, 4, 5, 6]).turned_clockwise();
        assert_eq!((image.width, image.height), (2, 3));
        assert_eq!(image.pixels.iter().map(|pixel| pixel[0]).collect::<Vec<_>>(), [4, 1, 5, 2, 6, 3]);
    }

    #[test]
    fn a_frame_has_every_model_s_layout() {
        let image = Image::new(1, 1, vec![[255, 51, 0]]).unwrap();
        let frame = Picture::new(&image);
        assert_eq!((frame.face.len(), &frame.face[..3]), (128 * 128 * 3, &[1.0, -0.6, -1.0][..]));
        assert_eq!((frame.lanes.len(), &frame.lanes[..4]), (320 * 320 * 4, &[255.0, 51.0, 0.0, 1.0][..]));
        assert_eq!(frame.orientation.len(), 3 * 224 * 224);
        assert!((frame.orientation[0] - (1.0 - 0.485) / 0.229).abs() < 1e-6);
        assert!((frame.orientation[2 * 224 * 224] + 0.406 / 0.225).abs() < 1e-6);
        assert_eq!((frame.signs.len(), frame.signs[0], frame.signs[2 * 320 * 320]), (3 * 320 * 320, -1.0, 1.0));
    }

    #[test]
    fn a_picture_without_pixels_is_refused() {
        assert!(Image::new(0, 0, Vec::new()).is_none());
        assert!(Image::new(2, 2, vec![[0; 3]; 3]).is_none());
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let nowhere = Path::new("/nowhere/person.png");
        let error = Scene::load(nowhere, nowhere, nowhere, nowhere).unwrap_err();
        assert_eq!(error.to_string(), "cannot open the picture /nowhere/person.png");
    }
}
