//! Launches of kernels, and what they are given.

use crate::units::Bytes;

/// One launch of a kernel of a segment's file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LaunchDesc {
    /// The kernel's name in the file.
    pub kernel: &'static str,
    /// How many blocks, in each direction: 1 to [`LaunchDesc::MOST_BLOCKS`].
    pub grid: [u32; 3],
    /// How many threads a block has, in each direction: 1 to [`LaunchDesc::MOST_SIDES`], together at most
    /// [`LaunchDesc::MOST_THREADS`].
    pub block: [u32; 3],
    /// The shared memory of each block that the kernel does not declare itself, at most [`LaunchDesc::MOST_SHARED`].
    pub shared: Bytes,
    /// Its arguments, in the order of the kernel's parameters; at most [`LaunchDesc::MOST_ARGUMENTS`].
    pub arguments: &'static [ArgumentDesc],
}

impl LaunchDesc {
    /// The most blocks of a grid in each direction, as CUDA has it.
    pub const MOST_BLOCKS: [u32; 3] = [0x7fff_ffff, 0xffff, 0xffff];
    /// The most threads of a block in each direction.
    pub const MOST_SIDES: [u32; 3] = [1_024, 1_024, 64];
    /// The most threads of a block.
    pub const MOST_THREADS: u32 = 1_024;
    /// The most shared memory of a block on any device; a device may have less, and then refuses it.
    pub const MOST_SHARED: Bytes = Bytes(227 << 10);
    /// The most arguments of a launch.
    pub const MOST_ARGUMENTS: usize = 128;
    /// The most launches of a segment.
    pub const MOST: usize = 1_024;

    /// Whether grid and block are such as a device can have.
    #[must_use]
    pub const fn is_within_limits(&self) -> bool {
        let [x, y, z] = self.block;
        let threads = match x.checked_mul(y) {
            Some(area) => area.checked_mul(z),
            None => None,
        };
        let few = match threads {
            Some(threads) => threads <= Self::MOST_THREADS,
            None => false,
        };
        few && sides_hold(self.grid, Self::MOST_BLOCKS)
            && sides_hold(self.block, Self::MOST_SIDES)
            && self.shared.0 <= Self::MOST_SHARED.0
    }
}

/// Whether each side is at least one and at most what it may be.
const fn sides_hold(sides: [u32; 3], most: [u32; 3]) -> bool {
    let ([x, y, z], [most_x, most_y, most_z]) = (sides, most);
    0 < x && x <= most_x && 0 < y && y <= most_y && 0 < z && z <= most_z
}

/// What a kernel is given for one of its parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgumentDesc {
    /// The address of an input or output: its position among the model's tensors, see [`super::ModelDesc::tensor`].
    Tensor(u16),
    /// The address of a buffer in the segment's scratch: the position of its request among those of the segment's one recording.
    Buffer(u16),
    /// 32 bits: of an integer, or of a number that the kernel takes for one with a point.
    Word(u32),
    /// 64 bits, likewise.
    Long(u64),
}
