//! The sign decoder turns a text probability map into the boxes of connected text regions, the largest one first.
//!
//! The model (PP-OCR v4 detection at 320 × 320 pixels) gives each pixel's probability of lying in the shrunken core of
//! a line of text. Pixels above the threshold are joined with their eight neighbours: the map is read once, row by row,
//! as horizontal runs, and runs that touch a run of the row above belong to the same blob. A blob's box is then grown
//! by the amount by which the training had shrunk it.

use super::insert_ranked;
use heapless::Vec;

/// Pixels along one side of the model's input and of output `sigmoid_0.tmp_0`.
pub const SIDE: usize = 320;
/// The probability above which a pixel counts as text, from the package's default.
pub const MIN_PIXEL: f32 = 0.3;
/// The mean probability that a region must reach, from the package's default.
pub const MIN_MEAN: f32 = 0.5;

/// Boxes lower or narrower than this many pixels are specks, from the package's default.
const MIN_SIDE_PIXELS: usize = 3;
/// Growth of a box on each side is this factor × area / perimeter, from the package's default.
const UNSHRINK: f32 = 1.6;
/// Blobs that one map may begin, those that merge later included. Further ones count in the share only.
const MAX_BLOBS: usize = 128;
/// Runs of one row: at most every other pixel begins one.
const MAX_RUNS: usize = SIDE / 2;

/// One connected text region: its box as fractions of the picture, inside 0 to 1, and what it is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextRegion {
    /// The left edge, 0 to 1.
    pub left: f32,
    /// The upper edge, 0 to 1.
    pub top: f32,
    /// The right edge, 0 to 1.
    pub right: f32,
    /// The lower edge, 0 to 1.
    pub bottom: f32,
    /// The share of the picture's pixels that belong to the region, 0 to 1.
    pub share: f32,
    /// The mean probability of those pixels, 0 to 1.
    pub mean: f32,
}

/// The pixels `start..end` of one row, all above the threshold, and the blob that they belong to.
#[derive(Clone, Copy)]
struct Run {
    start: usize,
    end: usize,
    blob: usize,
}

/// Runs that touch, in pixels; the edges `right` and `bottom` are exclusive.
#[derive(Clone, Copy)]
struct Blob {
    /// The blob that this one was merged into, or itself.
    parent: usize,
    left: usize,
    top: usize,
    right: usize,
    bottom: usize,
    pixels: usize,
    sum: f32,
}

impl Blob {
    fn absorb(&mut self, other: &Self) {
        self.left = self.left.min(other.left);
        self.top = self.top.min(other.top);
        self.right = self.right.max(other.right);
        self.bottom = self.bottom.max(other.bottom);
        self.pixels += other.pixels;
        self.sum += other.sum;
    }

    /// The grown box, or nothing for a speck.
    fn region(&self) -> Option<TextRegion> {
        let (width, height) = (self.right.saturating_sub(self.left), self.bottom.saturating_sub(self.top));
        let mean = self.sum / self.pixels as f32;
        if width < MIN_SIDE_PIXELS || height < MIN_SIDE_PIXELS || mean < MIN_MEAN {
            return None;
        }
        let growth = UNSHRINK * (width * height) as f32 / (2 * (width + height)) as f32;
        let fraction = |pixels: f32| (pixels / SIDE as f32).clamp(0.0, 1.0);
        Some(TextRegion {
            left: fraction(self.left as f32 - growth),
            top: fraction(self.top as f32 - growth),
            right: fraction(self.right as f32 + growth),
            bottom: fraction(self.bottom as f32 + growth),
            share: self.pixels as f32 / (SIDE * SIDE) as f32,
            mean,
        })
    }
}

/// All blobs of one map.
struct Blobs(Vec<Blob, MAX_BLOBS>);

impl Blobs {
    fn root(&self, mut blob: usize) -> usize {
        // A blob's parent has a smaller number or is itself, so this ends.
        while let Some(parent) = self.0.get(blob).map(|it| it.parent).filter(|&parent| parent < blob) {
            blob = parent;
        }
        blob
    }

    /// Adds a blob of its own, or gives it back where the table is full.
    fn begin(&mut self, mut blob: Blob) -> Option<usize> {
        blob.parent = self.0.len();
        self.0.push(blob).ok().map(|()| blob.parent)
    }

    /// Joins two blobs and returns the number of the whole.
    fn join(&mut self, one: usize, other: usize) -> usize {
        let (one, other) = (self.root(one), self.root(other));
        let (kept, merged) = (one.min(other), one.max(other));
        if kept != merged
            && let Some(source) = self.0.get_mut(merged)
        {
            source.parent = kept;
            let source = *source;
            self.add(kept, &source);
        }
        kept
    }

    fn add(&mut self, blob: usize, part: &Blob) {
        if let Some(whole) = self.0.get_mut(blob) {
            whole.absorb(part);
        }
    }
}

/// Fills `regions` with the largest `N` text regions, the largest first, and returns the share of all pixels above
/// [`MIN_PIXEL`], 0 to 1.
///
/// `map` is output `sigmoid_0.tmp_0`. Where it has another length than 320 × 320, `regions` is left empty and nothing
/// is returned. Cost: one pass over the 102,400 pixels; 20 KiB of stack.
pub fn regions<const N: usize>(map: &[f32], regions: &mut Vec<TextRegion, N>) -> Option<f32> {
    regions.clear();
    if map.len() != SIDE * SIDE {
        return None;
    }
    let mut blobs = Blobs(Vec::new());
    let (mut above, mut current): (Vec<Run, MAX_RUNS>, Vec<Run, MAX_RUNS>) = (Vec::new(), Vec::new());
    let mut pixels = 0;
    for (y, row) in map.chunks_exact(SIDE).enumerate() {
        let mut x = 0;
        // Runs of the row above that end left of every further run of this row.
        let mut passed = 0;
        while let Some((start, end, sum)) = next_run(row, x) {
            x = end;
            pixels += end - start;
            passed += above.iter().skip(passed).take_while(|run| run.end < start).count();
            let part = Blob { parent: 0, left: start, top: y, right: end, bottom: y + 1, pixels: end - start, sum };
            let touching = above.iter().skip(passed).take_while(|run| run.start <= end);
            let joined = touching.map(|run| run.blob).reduce(|joined, blob| blobs.join(joined, blob));
            let blob = match joined {
                Some(blob) => {
                    let blob = blobs.root(blob);
                    blobs.add(blob, &part);
                    Some(blob)
                }
                None => blobs.begin(part),
            };
            if let Some(blob) = blob {
                // There is room for every run of a row: MAX_RUNS.
                let _ = current.push(Run { start, end, blob });
            }
        }
        above.clone_from(&current);
        current.clear();
    }
    for (number, blob) in blobs.0.iter().enumerate() {
        if blob.parent == number
            && let Some(region) = blob.region()
        {
            insert_ranked(regions, region, |region| region.share);
        }
    }
    Some(pixels as f32 / (SIDE * SIDE) as f32)
}

/// The first run of pixels above the threshold at or after `from`: its half-open range and the sum of its values.
fn next_run(row: &[f32], from: usize) -> Option<(usize, usize, f32)> {
    let rest = row.get(from..)?;
    let skipped = rest.iter().position(|&value| value > MIN_PIXEL)?;
    let run = rest.iter().skip(skipped).take_while(|&&value| value > MIN_PIXEL);
    let (length, sum) = run.fold((0, 0.0), |(length, sum), value| (length + 1, sum + value.min(1.0)));
    let start = from + skipped;
    Some((start, start + length, sum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Range;

    struct Map(std::vec::Vec<f32>);

    impl Map {
        fn empty() -> Self {
            Self(vec![0.01; SIDE * SIDE])
        }

        fn paint(mut self, x: Range<usize>, y: Range<usize>, value: f32) -> Self {
            for row in y {
                self.0[row * SIDE..][x.clone()].fill(value);
            }
            self
        }

        fn decode(&self) -> (f32, Vec<TextRegion, 4>) {
            let mut found = Vec::new();
            let share = regions(&self.0, &mut found).unwrap();
            (share, found)
        }
    }

    fn pixels(share: f32) -> f32 {
        (share * (SIDE * SIDE) as f32).round()
    }

    #[test]
    fn a_rectangle_is_one_region_with_a_grown_box() {
        let (share, found) = Map::empty().paint(64..128, 32..48, 0.9).decode();
        assert_eq!((found.len(), pixels(share), pixels(found[0].share)), (1, 1024.0, 1024.0));
        let growth = 1.6 * 1024.0 / 160.0;
        assert!((found[0].left - (64.0 - growth) / 320.0).abs() < 1e-6);
        assert!((found[0].bottom - (48.0 + growth) / 320.0).abs() < 1e-6);
        assert!((found[0].mean - 0.9).abs() < 1e-4);
    }

    #[test]
    fn separate_regions_come_largest_first() {
        let (_, found) = Map::empty().paint(0..10, 0..5, 0.9).paint(100..200, 0..5, 0.9).decode();
        assert_eq!(found.iter().map(|region| pixels(region.share)).collect::<std::vec::Vec<_>>(), [500.0, 50.0]);
    }

    #[test]
    fn arms_that_meet_below_are_one_region() {
        // A comb: four teeth that only the last row joins.
        let mut map = Map::empty();
        for tooth in [10, 20, 30, 40] {
            map = map.paint(tooth..tooth + 3, 10..20, 0.8);
        }
        let (_, found) = map.paint(10..43, 20..21, 0.8).decode();
        assert_eq!((found.len(), pixels(found[0].share)), (1, 4.0 * 30.0 + 33.0));
    }

    #[test]
    fn arms_that_part_below_stay_one_region() {
        let (_, found) = Map::empty()
            .paint(10..40, 10..13, 0.8)
            .paint(10..14, 13..30, 0.8)
            .paint(36..40, 13..30, 0.8)
            .paint(14..15, 30..31, 0.8)
            .decode();
        assert_eq!((found.len(), pixels(found[0].share)), (1, 90.0 + 136.0 + 1.0));
    }

    #[test]
    fn faint_pixels_specks_and_weak_regions_are_left_out() {
        let (share, found) = Map::empty().paint(0..50, 0..50, 0.29).decode();
        assert!(found.is_empty() && share == 0.0);
        let (share, found) = Map::empty().paint(5..7, 5..300, 0.9).decode();
        assert!(found.is_empty() && share > 0.0);
        assert!(Map::empty().paint(0..50, 0..50, 0.4).decode().1.is_empty());
        assert!(Map::empty().paint(0..50, 0..50, f32::NAN).decode().1.is_empty());
    }

    #[test]
    fn a_map_of_dots_fills_the_table_and_the_share_still_counts_all() {
        let mut map = Map::empty();
        for y in (0..SIDE).step_by(2) {
            for x in (0..SIDE).step_by(2) {
                map.0[y * SIDE + x] = 0.9;
            }
        }
        let (share, found) = map.decode();
        assert!(found.is_empty() && share == 0.25);
    }

    #[test]
    fn regions_agree_with_a_flood_fill_on_random_maps() {
        let mut state = 1_u32;
        for density in [20, 35, 50] {
            let mut map = Map::empty();
            for block in 0..100 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if state >> 8 < (1 << 24) / 100 * density {
                    let (x, y) = (block % 10 * 32, block / 10 * 32);
                    map = map.paint(x..x + 32, y..y + 32, 0.9);
                }
            }
            let mut found: Vec<TextRegion, 100> = Vec::new();
            regions(&map.0, &mut found).unwrap();
            let sizes: std::vec::Vec<_> = found.iter().map(|region| pixels(region.share)).collect();
            assert_eq!(sizes, flood_fill(&map.0));
        }
    }

    /// The sizes of all regions, the largest first, by a stack of pixels to visit.
    fn flood_fill(map: &[f32]) -> std::vec::Vec<f32> {
        let mut open: std::vec::Vec<_> = map.iter().map(|&value| value > MIN_PIXEL).collect();
        let mut sizes = std::vec::Vec::new();
        while let Some(first) = open.iter().position(|&is_open| is_open) {
            let (mut stack, mut size) = (vec![first], 0.0);
            open[first] = false;
            while let Some(pixel) = stack.pop() {
                size += 1.0;
                let (x, y) = (pixel % SIDE, pixel / SIDE);
                for y in y.saturating_sub(1)..(y + 2).min(SIDE) {
                    for x in x.saturating_sub(1)..(x + 2).min(SIDE) {
                        if std::mem::take(&mut open[y * SIDE + x]) {
                            stack.push(y * SIDE + x);
                        }
                    }
                }
            }
            sizes.push(size);
        }
        sizes.sort_by(|a: &f32, b| b.total_cmp(a));
        sizes
    }

    #[test]
    fn a_short_map_gives_nothing() {
        let mut found: Vec<TextRegion, 4> = Vec::new();
        assert_eq!(regions(&[0.9; 10], &mut found), None);
        assert!(found.is_empty());
    }
}
