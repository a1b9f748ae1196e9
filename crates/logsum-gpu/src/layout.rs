//! How a grid goes through rows: by what teams of threads, and as what kind of row.

use crate::column::Column;
use crate::format::Format;
use crate::line::{Line, Rows};
use crate::row::Row;
use crate::team::Team;
use crate::thread::Thread;

/// How a grid goes through rows.
pub trait Layout {
    /// What a row is to it.
    type Line<T: Format>: Line<T>;

    /// The team of this thread, of so many, and which row is its.
    fn team<G: Thread>(gpu: G, lanes: u32) -> (Team, u64);

    /// A row; one of nothing if there are not so many.
    fn line<T: Format>(rows: Rows<T>, index: u64) -> Self::Line<T>;
}

/// Rows that are contiguous, for teams of threads beside each other.
pub struct AsRows;

impl Layout for AsRows {
    type Line<T: Format> = Row<T>;

    #[inline(always)]
    fn team<G: Thread>(gpu: G, lanes: u32) -> (Team, u64) {
        Team::of(gpu, lanes)
    }

    #[inline(always)]
    fn line<T: Format>(rows: Rows<T>, index: u64) -> Row<T> {
        Row::of(rows, index)
    }
}

/// Rows that lie beside each other: a warp's threads belong to different rows, and read contiguous numbers.
pub struct AsColumns;

impl Layout for AsColumns {
    type Line<T: Format> = Column<T>;

    #[inline(always)]
    fn team<G: Thread>(gpu: G, lanes: u32) -> (Team, u64) {
        Team::of_column(gpu, lanes)
    }

    #[inline(always)]
    fn line<T: Format>(rows: Rows<T>, index: u64) -> Column<T> {
        Column::of(rows, index)
    }
}
