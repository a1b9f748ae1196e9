//! How many threads work on a row.

/// The threads that a call is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A team of so many threads for each row.
    Teams(u32),
    /// So many blocks of [`THREADS`] threads for each row.
    Parts(u32),
    /// A team of so many threads for each row, in blocks of [`THREADS`], for rows that lie beside each other.
    Columns(u32),
}

/// Threads of a block, unless it is one team.
pub(crate) const THREADS: u32 = 256;

/// Blocks that may work on parts of rows: see `logsum-gpu`, parts.rs.
pub(crate) const MOST_PARTS: u64 = 16384;

/// Bytes that a block should have to read at least, for a part of a row to be worth it.
const PART: u64 = 1 << 14;

impl Shape {
    /// For log-sum-exps. Measured on an H100: threads that have some hundred numbers each, as long as there are enough
    /// rows to keep the GPU busy; else more threads; and parts, where blocks of whole rows leave some processors idle
    /// at the end.
    pub(crate) fn for_values(count: u64, length: u64, bytes: u64, processors: u32) -> Self {
        let threads = 1024 * u64::from(processors);
        let mut lanes = power_of_2(length / 96).clamp(1, 128);
        let parts = Self::parts(count, length, bytes, processors);
        if parts > 1 {
            return Self::Parts(parts);
        }
        while count * lanes < threads && lanes < 256 && lanes * 16 < length * bytes {
            lanes *= 2;
        }
        Self::Teams(lanes as u32)
    }

    /// For log-sum-exps of rows that lie beside each other.
    pub(crate) fn for_columns(count: u64, length: u64, bytes: u64, processors: u32) -> Self {
        Self::Columns(Self::lanes_of_columns(count, length, bytes, processors))
    }

    /// Threads for each of several rows that lie beside each other: one, unless that leaves the GPU idle; at most so
    /// many that a block still reads 32 contiguous bytes, the sectors of the GPU's memory.
    pub(crate) fn lanes_of_columns(count: u64, length: u64, bytes: u64, processors: u32) -> u32 {
        let threads = 1024 * u64::from(processors);
        let mut lanes = 1;
        while count * lanes < threads && lanes * 32 < u64::from(THREADS) * bytes && lanes * 8 < length {
            lanes *= 2;
        }
        lanes as u32
    }

    /// Blocks for each row, where a row can be divided: a power of 2.
    pub(crate) fn parts(count: u64, length: u64, bytes: u64, processors: u32) -> u32 {
        let blocks = 16 * u64::from(processors);
        if count >= blocks || length * bytes < 4 * PART {
            return 1;
        }
        let parts = blocks.div_ceil(count.max(1)).next_power_of_two();
        parts.min(power_of_2(length * bytes / PART)).min(power_of_2(MOST_PARTS / count.max(1))) as u32
    }

    /// Threads for each row of softmax, from 1 to 256: so many that each has 60 to 120 numbers, or more where there are
    /// too few rows to keep the GPU busy. The last 32 numbers of a thread (16 of f64) stay in registers.
    pub(crate) fn for_shares(count: u64, length: u64, bytes: u64, processors: u32) -> u32 {
        let threads = 512 * u64::from(processors);
        let mut lanes = power_of_2(length / 60).clamp(1, 256);
        while count * lanes < threads && lanes < 256 && lanes * 16 < length * bytes {
            lanes *= 2;
        }
        lanes as u32
    }
}

/// The blocks, and threads of each, for teams of so many threads: one of more than a warp is a whole block.
pub(crate) fn grid(teams: u64, lanes: u32) -> ([u32; 2], u32) {
    let threads = if lanes > 32 { lanes } else { THREADS };
    ([(teams * u64::from(lanes)).div_ceil(threads.into()) as u32, 1], threads)
}

/// The blocks of [`THREADS`] threads for teams of so many, for rows that lie beside each other.
pub(crate) fn columns(count: u64, lanes: u32) -> [u32; 2] {
    [count.div_ceil(u64::from(THREADS / lanes)) as u32, 1]
}

/// The greatest power of 2 that is at most this, or 1.
fn power_of_2(x: u64) -> u64 {
    if x == 0 { 1 } else { 1 << x.ilog2() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_fit_the_gpu() {
        let f32s = |count, length| Shape::for_values(count, length, 4, 132);
        assert_eq!(f32s(262_144, 1000), Shape::Teams(8));
        assert_eq!(f32s(8192, 32_000), Shape::Teams(128));
        assert_eq!(f32s(1 << 22, 16), Shape::Teams(1));
        assert_eq!(f32s(1, 1 << 28), Shape::Parts(4096));
        assert_eq!(f32s(16, 128_256), Shape::Parts(16));
        assert_eq!(f32s(1, 3), Shape::Teams(1));
        assert_eq!(Shape::lanes_of_columns(1 << 21, 21, 4, 132), 1);
        assert_eq!(Shape::lanes_of_columns(1000, 4096, 4, 132), 32);
        assert_eq!(columns(1000, 32), [125, 1]);
        assert_eq!(grid(1000, 8), ([32, 1], 256));
        assert_eq!(grid(1000, 64), ([1000, 1], 64));
        for count in [0, 1, 2, 7, 100, 2111, 2112, 1 << 20] {
            for length in [0, 1, 5, 4096, 1 << 16, 1 << 31] {
                for bytes in [2, 4, 8] {
                    match Shape::for_values(count, length, bytes, 132) {
                        Shape::Teams(lanes) => assert!(lanes.is_power_of_two() && lanes <= 256),
                        Shape::Parts(parts) => {
                            assert!(parts.is_power_of_two() && u64::from(parts) * count <= MOST_PARTS);
                        }
                        Shape::Columns(_) => unreachable!("they are rows"),
                    }
                    let lanes = Shape::lanes_of_columns(count, length, bytes, 132);
                    assert!(lanes.is_power_of_two() && u64::from(lanes) <= 8 * bytes);
                    let lanes = Shape::for_shares(count, length, bytes, 132);
                    assert!(lanes.is_power_of_two() && lanes <= 256);
                }
            }
        }
    }
}
