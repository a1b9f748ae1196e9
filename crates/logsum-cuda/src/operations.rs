//! The operations, on memory of the GPU.

// They take addresses, which the caller vouches for.
#![allow(unsafe_code)]

use crate::device::{Argument, Device};
use crate::error::Error;
use crate::kernels::{Format, Kernel};
use crate::shape::{MOST_PARTS, Shape, THREADS, columns, grid};
use Argument::{Long, Short};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Bytes of memory that a call needs beside its arguments, aligned to 16 bytes. They are 0 before the first call and
/// belong to one stream; calls leave them as the next one needs them. The number of 32 bits at offset 8 counts the
/// results that no kernel settled, which are those of rows built to be hard. Each such result is the number nearest to
/// an estimate. That of a log-sum-exp is off by about 2^-116 (of f64, below 2^21 in magnitude, 2^-236), that of an
/// element of softmax, or of the derivative of a loss, by 2^-93 (by the score of the target, where that is the
/// greatest: by 2^-74).
pub const WORKSPACE: usize = (2 * QUEUE + PARTS) as usize;

/// Rows that may be unsettled at a time: see `logsum-gpu`, queue.rs.
const ROOM: u64 = 1 << 20;
const QUEUE: u64 = 16 + 16 * ROOM;
/// See `logsum-gpu`, parts.rs.
const PARTS: u64 = (4 + 8 * 8) * MOST_PARTS;

/// Bytes that [`losses`] keeps of each row for [`loss_gradients`]: see `logsum-gpu`, losses.rs.
pub const KEPT: usize = 32;

/// From how many numbers on it is worth it to keep something of a row. A block's threads have the last 4096 numbers of
/// a row of f64 in registers (8192 of other formats): only a longer one would be read twice for its gradient.
pub const KEPT_FROM: usize = 4097;

/// A stream of a GPU.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// The number of the GPU.
    pub device: i32,
    /// The driver's handle of the stream; 0 is the default one.
    pub handle: usize,
    /// The address of [`WORKSPACE`] bytes.
    pub workspace: u64,
}

impl Stream {
    /// Calls operations in a stream with a workspace that this crate keeps for it: allocated when the stream first
    /// needs it, and never freed.
    ///
    /// # Safety
    /// The handle is that of a stream of this GPU, or 0. It is not captured when it is first given.
    ///
    /// # Errors
    /// Those of the operations; [`Error::Driver`] also if there is no memory for the workspace.
    pub unsafe fn with_workspace(
        device: i32,
        handle: usize,
        operations: impl FnOnce(Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        static WORKSPACES: Mutex<BTreeMap<(i32, usize), u64>> = Mutex::new(BTreeMap::new());
        let mut workspaces = WORKSPACES.lock().unwrap_or_else(PoisonError::into_inner);
        let workspace = match workspaces.get(&(device, handle)) {
            Some(&workspace) => workspace,
            None => {
                // SAFETY: the caller's.
                let workspace = unsafe { Device::get(device)?.zeros(WORKSPACE, handle)? };
                workspaces.insert((device, handle), workspace);
                workspace
            }
        };
        drop(workspaces);
        let done = operations(Self { device, handle, workspace });
        if let Err(Error::Driver { .. }) = done {
            // Kernels that were started may have left it other than the next call needs it.
            // SAFETY: it is memory of this GPU, and has this size.
            unsafe { Device::get(device)?.clear(workspace, WORKSPACE, handle)? };
        }
        done
    }

    /// Arguments: the queue of rows that the first kernel leaves open, the queue of those that the second one does, and
    /// what blocks that work on parts of a row tell each other.
    fn workspaces(self) -> [Argument; 3] {
        [0, QUEUE, 2 * QUEUE].map(|offset| Long(self.workspace + offset))
    }
}

/// Rows of numbers in a GPU's memory.
#[derive(Debug, Clone, Copy)]
pub struct Rows {
    /// The format of the numbers.
    pub format: Format,
    /// How many rows.
    pub count: u64,
    /// Numbers in each.
    pub length: u64,
    /// Where they are.
    pub memory: Memory,
}

impl Rows {
    /// The arguments of a kernel for so many rows from this one on.
    fn arguments(self, first: u64, count: u64) -> Result<[Argument; 6], Error> {
        let Memory { stride, beside, step, .. } = self.memory;
        // A kernel has fewer than 2^32 rows.
        let beside = Short(beside.try_into().unwrap_or(u32::MAX));
        match u32::try_from(self.length) {
            Ok(length) if length <= 1 << 31 => {
                let address = Long(self.memory.row(first, self.format));
                Ok([address, Long(stride), beside, Long(step), Long(count), Short(length)])
            }
            _ => Err(Error::TooLong { length: self.length }),
        }
    }

    /// Whether they lie beside each other.
    fn are_columns(self) -> bool {
        self.memory.step != self.format.bytes()
    }

    /// Refuses places that are not those of rows, and results that do not lie as the rows do.
    fn check(self, out: Option<Memory>) -> Result<(), Error> {
        let of_rows = |memory: Memory| (memory.beside, memory.step == self.format.bytes());
        let (beside, is_contiguous) = of_rows(self.memory);
        let is_good = beside > 0 && (beside == 1 || !is_contiguous);
        if is_good && out.is_none_or(|out| of_rows(out) == (beside, is_contiguous)) {
            Ok(())
        } else {
            Err(Error::Layout)
        }
    }

    /// Rows in calls of at most [`ROOM`]: the first row of each, and how many. A call has whole groups of rows that lie
    /// beside each other, or a part of one group.
    fn in_calls(self) -> impl Iterator<Item = (u64, u64)> {
        let beside = self.memory.beside;
        // A group that is too large is divided evenly.
        let (group, part) = if beside > ROOM {
            (beside, beside.div_ceil(beside.div_ceil(ROOM)))
        } else {
            (ROOM / beside * beside, ROOM)
        };
        let groups =
            (0..self.count).step_by(group as usize).map(move |from| (from, group.min(self.count - from)));
        groups.flat_map(move |(from, count)| {
            (0..count).step_by(part as usize).map(move |first| (from + first, part.min(count - first)))
        })
    }
}

/// Where rows are: one after the other, each contiguous; or in groups of rows that lie beside each other, as the
/// columns of a matrix do. Results for each number lie as the rows do, with strides and steps of their own.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// The address of the first number, a multiple of the size of one.
    pub address: u64,
    /// How many rows a group has, at least 1: their first numbers follow each other.
    pub beside: u64,
    /// Bytes from a group to the next, a multiple of the size of a number.
    pub stride: u64,
    /// Bytes from a number of a row to the next, likewise: the size of one if `beside` is 1.
    pub step: u64,
}

impl Memory {
    /// Contiguous rows, with `stride` bytes from each to the next.
    #[must_use]
    pub fn of_rows(address: u64, stride: u64, format: Format) -> Self {
        Self { address, beside: 1, stride, step: format.bytes() }
    }

    /// The address of a row's first number.
    fn row(self, index: u64, format: Format) -> u64 {
        self.address + self.stride * (index / self.beside) + format.bytes() * (index % self.beside)
    }

    /// The arguments of a kernel that writes results of the rows from this one on. How many lie beside each other, it
    /// knows from the rows.
    fn arguments(self, first: u64, format: Format) -> [Argument; 3] {
        [Long(self.row(first, format)), Long(self.stride), Long(self.step)]
    }
}

/// The target of each row, in a GPU's memory.
#[derive(Debug, Clone, Copy)]
pub struct Targets {
    /// The address of as many signed 64-bit indices as there are rows. Where one is not that of a number of its row,
    /// the results are NaN.
    pub address: u64,
    /// The index of rows that do not count: their loss is 0, and so is its gradient.
    pub ignored: i64,
}

impl Targets {
    /// The arguments of a kernel that begins with this row.
    fn arguments(self, first: u64) -> [Argument; 2] {
        [Long(self.address + 8 * first), Long(self.ignored as u64)]
    }
}

/// Whether this GPU can be used, or why not.
///
/// # Errors
/// [`Error::NoDriver`], [`Error::TooOld`], or what the driver says.
pub fn is_available(device: i32) -> Result<(), Error> {
    Device::get(device).map(|_| ())
}

/// Writes log Σ e^{z_k} of each row to `out`, the address of as many numbers of the same format as there are rows: each
/// is the number nearest to the exact value, with the bits and the special cases of `logsum::logsumexp`.
///
/// # Safety
/// The rows may be read and `out` written by kernels in the stream, whose workspace is as [`WORKSPACE`] describes it.
///
/// # Errors
/// [`Error`]. After [`Error::Driver`], some kernels of this call may have been started: the workspace must be set to 0
/// again before the next call.
pub unsafe fn logsumexp(stream: Stream, rows: Rows, out: u64) -> Result<(), Error> {
    // SAFETY: the caller's.
    unsafe { reduce(stream, rows, Reduction::LogSumExp, out) }
}

/// Writes the loss log Σ e^{z_k} − z_t of each row z with its target t to `out`, the address of as many numbers of the
/// same format as there are rows: each is the number nearest to the exact value, with the bits and the special cases of
/// `logsum::CrossEntropy::losses`. `kept` is 0, or the address of [`KEPT`] bytes for each row, a multiple of 8, in
/// which [`loss_gradients`] finds the row's sum; it is not used for rows that lie beside each other.
///
/// # Safety
/// As for [`logsumexp`], the targets may be read, and what `kept` says may be written.
///
/// # Errors
/// As for [`logsumexp`].
pub unsafe fn losses(stream: Stream, rows: Rows, targets: Targets, out: u64, kept: u64) -> Result<(), Error> {
    // SAFETY: the caller's.
    unsafe { reduce(stream, rows, Reduction::Losses { targets, kept }, out) }
}

/// What is computed of each row.
#[derive(Clone, Copy)]
enum Reduction {
    LogSumExp,
    Losses { targets: Targets, kept: u64 },
}

unsafe fn reduce(stream: Stream, rows: Rows, of: Reduction, out: u64) -> Result<(), Error> {
    rows.check(None)?;
    let device = Device::get(stream.device)?;
    // SAFETY: the caller's.
    unsafe { start(device, stream, rows.format, reduction(device.processors, stream, rows, of, out)?) }
}

fn reduction(
    processors: u32,
    stream: Stream,
    rows: Rows,
    of: Reduction,
    out: u64,
) -> Result<Vec<Launch>, Error> {
    let (by_columns, by_teams, by_parts, settle) = match of {
        Reduction::LogSumExp => {
            (Kernel::LogsumexpOfColumns, Kernel::Logsumexp, Kernel::LogsumexpByParts, Kernel::Settle)
        }
        Reduction::Losses { kept: 0, .. } => {
            (Kernel::LossesOfColumns, Kernel::Losses, Kernel::LossesByParts, Kernel::SettleLosses)
        }
        Reduction::Losses { .. } => {
            let (by_teams, by_parts) = (Kernel::LossesKeeping, Kernel::LossesKeepingByParts);
            (Kernel::LossesOfColumns, by_teams, by_parts, Kernel::SettleLosses)
        }
    };
    let [queue, rest, parts] = stream.workspaces();
    let mut launches = Vec::new();
    for (first, count) in rows.in_calls() {
        let (rows_from, own) = (rows.arguments(first, count)?, Long(out + rows.format.bytes() * first));
        let (to_settle, kept) = match of {
            Reduction::LogSumExp => ([&rows_from[..], &[own]].concat(), None),
            Reduction::Losses { targets, kept } => {
                let kept = (kept != 0 && !rows.are_columns()).then_some(Long(kept + KEPT as u64 * first));
                ([&rows_from[..], &targets.arguments(first), &[own]].concat(), kept)
            }
        };
        let with = |more: &[Argument]| [&to_settle, kept.as_slice(), more].concat();
        let shape = if rows.are_columns() {
            Shape::for_columns(count, rows.length, rows.format.bytes(), processors)
        } else {
            Shape::for_values(count, rows.length, rows.format.bytes(), processors)
        };
        launches.push(match shape {
            Shape::Columns(lanes) => {
                let (blocks, arguments) = (columns(count, lanes), with(&[Short(lanes), queue]));
                Launch { kernel: by_columns, blocks, threads: THREADS, arguments }
            }
            Shape::Teams(lanes) => {
                let (blocks, threads) = grid(count, lanes);
                Launch { kernel: by_teams, blocks, threads, arguments: with(&[Short(lanes), queue]) }
            }
            Shape::Parts(of_row) => {
                let (blocks, arguments) = ([count as u32, of_row], with(&[queue, parts]));
                Launch { kernel: by_parts, blocks, threads: THREADS, arguments }
            }
        });
        let is_value = matches!(of, Reduction::LogSumExp);
        let workspaces: &[Argument] = if is_value { &[queue, rest, parts] } else { &[queue] };
        launches.push(Launch::of_the_rest(processors, settle, [&to_settle, workspaces].concat()));
        if is_value {
            launches.extend(in_fixed_point(processors, stream, rows, first, count, out)?);
        }
    }
    Ok(launches)
}

/// Writes softmax of each row, e^{z_i}/Σ e^{z_k}, which is the gradient of the log-sum-exp, to `out`, and the
/// log-sum-exp of each row to the address `values` if that is not 0: each result is the number nearest to the exact
/// one, with the bits and the special cases of `logsum::softmax`.
///
/// # Safety
/// As for [`logsumexp`], also for `values`. `out` and the rows do not overlap.
///
/// # Errors
/// As for [`logsumexp`].
pub unsafe fn softmax(stream: Stream, rows: Rows, out: Memory, values: u64) -> Result<(), Error> {
    // SAFETY: the caller's.
    unsafe { write_each(stream, rows, Each::Softmax { values }, out) }
}

/// Writes log-softmax of each row, z_i − log Σ e^{z_k}, to `out`, and the log-sum-exp of each row to the address
/// `values` if that is not 0: each result is the number nearest to the exact one, with the bits and the special cases
/// of `logsum::log_softmax`.
///
/// # Safety
/// As for [`softmax`].
///
/// # Errors
/// As for [`logsumexp`].
pub unsafe fn log_softmax(stream: Stream, rows: Rows, out: Memory, values: u64) -> Result<(), Error> {
    // SAFETY: the caller's.
    unsafe { write_each(stream, rows, Each::LogSoftmax { values }, out) }
}

/// Writes the derivatives of the loss of each row, softmax(z)_i − [i = t], to `out`. Each is rounded to the nearest
/// number and has then the special cases and, but for the sign of zeros, the bits of
/// `logsum::CrossEntropy::losses_with_gradient`; after that it is multiplied by the row's factor. `factors` is the
/// address of a number of the same format for each row, and `kept` what [`losses`] wrote there for these rows and
/// targets, or 0: then each row is summed again.
///
/// # Safety
/// As for [`softmax`], and the targets, the factors and what was kept may be read.
///
/// # Errors
/// As for [`logsumexp`].
pub unsafe fn loss_gradients(
    stream: Stream,
    rows: Rows,
    targets: Targets,
    factors: u64,
    kept: u64,
    out: Memory,
) -> Result<(), Error> {
    // SAFETY: the caller's.
    unsafe { write_each(stream, rows, Each::LossGradient { targets, factors, kept }, out) }
}

/// What is written for each number of a row.
#[derive(Clone, Copy)]
enum Each {
    Softmax { values: u64 },
    LogSoftmax { values: u64 },
    LossGradient { targets: Targets, factors: u64, kept: u64 },
}

unsafe fn write_each(stream: Stream, rows: Rows, each: Each, out: Memory) -> Result<(), Error> {
    rows.check(Some(out))?;
    let device = Device::get(stream.device)?;
    // SAFETY: the caller's.
    unsafe { start(device, stream, rows.format, of_each(device.processors, stream, rows, each, out)?) }
}

/// What computes a number for each of the rows'.
fn of_each(
    processors: u32,
    stream: Stream,
    rows: Rows,
    each: Each,
    out: Memory,
) -> Result<Vec<Launch>, Error> {
    let are_columns = rows.are_columns();
    let is_kept = matches!(each, Each::LossGradient { kept: 1.., .. }) && !are_columns;
    let (kernel, settle) = match (each, are_columns) {
        (Each::Softmax { .. }, false) => (Kernel::Softmax, Kernel::SettleShares),
        (Each::Softmax { .. }, true) => (Kernel::SoftmaxOfColumns, Kernel::SettleShares),
        (Each::LogSoftmax { .. }, false) => (Kernel::LogSoftmax, Kernel::SettleShares),
        (Each::LogSoftmax { .. }, true) => (Kernel::LogSoftmaxOfColumns, Kernel::SettleShares),
        (Each::LossGradient { .. }, _) if is_kept => {
            (Kernel::LossGradientsOfKept, Kernel::SettleLossGradients)
        }
        (Each::LossGradient { .. }, true) => (Kernel::LossGradientsOfColumns, Kernel::SettleLossGradients),
        (Each::LossGradient { .. }, false) => (Kernel::LossGradients, Kernel::SettleLossGradients),
    };
    let [queue, rest, of_parts] = stream.workspaces();
    let mut launches = Vec::new();
    for (first, count) in rows.in_calls() {
        let numbers =
            |address: u64| Long(if address == 0 { 0 } else { address + rows.format.bytes() * first });
        let own = rows.arguments(first, count)?;
        let results = out.arguments(first, rows.format);
        let (lanes, in_teams) = if are_columns {
            let lanes = Shape::lanes_of_columns(count, rows.length, rows.format.bytes(), processors);
            (lanes, (columns(count, lanes), THREADS))
        } else {
            let lanes = Shape::for_shares(count, rows.length, rows.format.bytes(), processors);
            (lanes, grid(count, lanes))
        };
        let (arguments, to_settle, (blocks, threads)) = match each {
            Each::Softmax { values } | Each::LogSoftmax { values } => {
                let is_log = Short(matches!(each, Each::LogSoftmax { .. }).into());
                let head = [&own[..], &results, &[numbers(values)]].concat();
                let to_settle = [&head[..], &[is_log, queue, rest]].concat();
                ([&head[..], &[Short(lanes), queue]].concat(), to_settle, in_teams)
            }
            Each::LossGradient { targets, factors, kept } => {
                let head = [&own[..], &targets.arguments(first), &[numbers(factors)]].concat();
                let to_settle = [&head[..], &results, &[queue]].concat();
                if !is_kept {
                    ([&head[..], &results, &[Short(lanes), queue]].concat(), to_settle, in_teams)
                } else {
                    let kept = Long(kept + KEPT as u64 * first);
                    let parts = Shape::parts(count, rows.length, rows.format.bytes(), processors);
                    let arguments = [&head[..], &[kept], &results, &[queue, of_parts]].concat();
                    (arguments, to_settle, ([count as u32, parts], THREADS))
                }
            }
        };
        launches.push(Launch { kernel, blocks, threads, arguments });
        launches.push(Launch::of_the_rest(processors, settle, to_settle));
        if let Each::Softmax { values } | Each::LogSoftmax { values } = each
            && values != 0
        {
            launches.extend(in_fixed_point(processors, stream, rows, first, count, values)?);
        }
    }
    Ok(launches)
}

/// What settles the log-sum-exps of f64 that the second kernel leaves open, written to the address `values`; nothing
/// for other formats.
fn in_fixed_point(
    processors: u32,
    stream: Stream,
    rows: Rows,
    first: u64,
    count: u64,
    values: u64,
) -> Result<Option<Launch>, Error> {
    if rows.format != Format::F64 {
        return Ok(None);
    }
    let out = Long(values + rows.format.bytes() * first);
    let arguments = [&rows.arguments(first, count)?[..], &[out], &stream.workspaces()].concat();
    Ok(Some(Launch::of_the_rest(processors, Kernel::SettleInFixedPoint, arguments)))
}

/// A kernel with its grid and its arguments.
struct Launch {
    kernel: Kernel,
    blocks: [u32; 2],
    threads: u32,
    arguments: Vec<Argument>,
}

impl Launch {
    /// Of a kernel that settles what another one left.
    fn of_the_rest(processors: u32, kernel: Kernel, arguments: Vec<Argument>) -> Self {
        Self { kernel, blocks: [2 * processors, 1], threads: THREADS, arguments }
    }
}

/// Puts kernels into a stream, one after the other, and none of another call between them.
///
/// # Safety
/// The arguments are good for the kernels.
unsafe fn start(device: &Device, stream: Stream, format: Format, launches: Vec<Launch>) -> Result<(), Error> {
    let _one_call = device.one_call();
    for Launch { kernel, blocks, threads, arguments } in launches {
        // SAFETY: the caller's.
        unsafe { device.launch(&kernel.name(format), stream.handle, blocks, threads, &arguments)? };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::module;
    use logsum_gpu::losses::Kept;
    use logsum_gpu::{parts, queue};

    /// The types of a kernel's parameters, as its PTX has them.
    fn parameters(name: &str) -> Vec<&'static str> {
        let module = module(name).expect("it is there");
        let (_, from_entry) = module.split_once(".entry").expect("it is a kernel");
        let (list, _) = from_entry.split_once(')').expect("it has parameters");
        let of =
            |line: &str| [".u64", ".u32"].into_iter().find(|kind| line.contains(&format!(".param {kind} ")));
        list.lines().filter_map(of).collect()
    }

    #[test]
    fn arguments_are_those_of_the_kernels() {
        let stream = Stream { device: 0, handle: 0, workspace: 1 << 12 };
        let targets = Targets { address: 1 << 30, ignored: -100 };
        for format in [Format::F16, Format::BF16, Format::F32, Format::F64] {
            let contiguous = |stride| Memory::of_rows(1 << 40, stride, format);
            let columns = Memory { address: 1 << 40, beside: ROOM / 4, stride: 1 << 30, step: 1 << 22 };
            for (count, length, memory) in [
                (3 * ROOM / 2, 1000, contiguous(8192)),
                (4, 1 << 20, contiguous(1 << 23)),
                (1, 0, contiguous(0)),
                (3 * ROOM / 2, 100, columns),
            ] {
                let (rows, out) = (Rows { format, count, length, memory }, memory);
                let mut all = Vec::new();
                for of in [Reduction::LogSumExp, Reduction::Losses { targets, kept: 1 << 27 }] {
                    all.extend(reduction(132, stream, rows, of, out.address).unwrap());
                }
                for each in [
                    Each::Softmax { values: 0 },
                    Each::LogSoftmax { values: 1 << 29 },
                    Each::LossGradient { targets, factors: 1 << 28, kept: 0 },
                    Each::LossGradient { targets, factors: 1 << 28, kept: 1 << 27 },
                ] {
                    all.extend(of_each(132, stream, rows, each, out).unwrap());
                }
                // In fixed point, log-sum-exps of f64 alone: by themselves, and beside log-softmax.
                let kernels = if format == Format::F64 { 14 } else { 12 };
                assert_eq!(all.len() as u64, kernels * count.div_ceil(ROOM));
                for Launch { kernel, blocks, threads, arguments } in all {
                    let kinds = arguments.iter().map(|argument| match argument {
                        Long(_) => ".u64",
                        Short(_) => ".u32",
                    });
                    let name = kernel.name(format);
                    assert_eq!(kinds.collect::<Vec<_>>(), parameters(&name), "{name}");
                    assert!(threads.is_power_of_two() && threads >= 32 && blocks[0] > 0, "{name}");
                }
            }
        }
    }

    #[test]
    fn layouts_are_checked() {
        let columns = |beside, step| Memory { address: 0, beside, stride: 400, step };
        let check = |memory, out| Rows { format: Format::F32, count: 8, length: 5, memory }.check(out);
        assert_eq!(check(columns(1, 4), Some(columns(1, 4))), Ok(()));
        assert_eq!(check(columns(4, 80), Some(columns(4, 16))), Ok(()));
        for (memory, out) in [
            (columns(0, 4), None),
            (columns(4, 4), None),
            (columns(4, 16), Some(columns(2, 16))),
            (columns(1, 16), Some(columns(1, 4))),
        ] {
            assert_eq!(check(memory, out), Err(Error::Layout));
        }
    }

    #[test]
    fn calls_have_whole_groups_of_columns_or_a_part_of_one() {
        for (count, beside) in
            [(0, 1), (5, 1), (3 * ROOM, 1), (3 * ROOM, 3), (12 * ROOM, 4 * ROOM + 4), (10, 5)]
        {
            let memory = Memory { address: 0, beside, stride: 0, step: 8 };
            let rows = Rows { format: Format::F32, count, length: 1, memory };
            let mut next = 0;
            for (first, count) in rows.in_calls() {
                assert!(first == next && (1..=ROOM).contains(&count));
                assert!(first % beside + count <= beside || first % beside == 0 && count % beside == 0);
                next += count;
            }
            assert_eq!(next, count);
        }
    }

    #[test]
    fn the_workspace_is_what_the_kernels_need() {
        assert_eq!((ROOM, QUEUE), (queue::ROOM, queue::BYTES));
        assert_eq!((MOST_PARTS, PARTS), (parts::MOST_PARTS, parts::BYTES));
        assert_eq!(KEPT as u64, Kept::BYTES);
    }
}
