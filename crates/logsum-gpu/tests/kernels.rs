//! Each kernel, run as blocks on the CPU, against the library: every bit of every result.

use half::{bf16, f16};
use logsum_gpu::emulator::{Memory, launch};
use logsum_gpu::fixed_point::settle_in_fixed_point;
use logsum_gpu::format::{BF16, F16, F32, F64, Format};
use logsum_gpu::layout::{AsColumns, AsRows};
use logsum_gpu::line::{Places, Rows};
use logsum_gpu::logsumexp::{logsumexp, logsumexp_by_parts};
use logsum_gpu::losses::{
    Kept, Losses, Targets, Weighted, loss_gradients, loss_gradients_of_kept, losses, losses_by_parts,
};
use logsum_gpu::parts::{self, Parts};
use logsum_gpu::queue::Queue;
use logsum_gpu::settle::{settle, settle_loss_gradients, settle_losses, settle_shares};
use logsum_gpu::shares::{Results, shares};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cmp::Ordering;
use std::marker::PhantomData;

/// What losses are summed in, and what losses whose sums are kept.
type First<T> = <<T as Both>::OnGpu as Format>::First;
type ToKeep<T> = <<T as Both>::OnGpu as Format>::Kept;

/// The target of rows that do not count.
const IGNORED: i64 = -100;

/// A format of the library, and what the kernels call it.
trait Both: logsum::Float + PartialEq {
    type OnGpu: Format + 'static;

    fn of(x: f64) -> Self;
    fn wide(self) -> f64;
    fn bits(self) -> u64;

    fn same(self, other: Self) -> bool {
        let [is_nan, other_is_nan] = [self, other].map(|x| x.partial_cmp(&x).is_none());
        if is_nan || other_is_nan { is_nan && other_is_nan } else { self.bits() == other.bits() }
    }
}

macro_rules! both {
    ($($float:ty, $on_gpu:ty, $of:expr;)*) => {$(
        impl Both for $float {
            type OnGpu = $on_gpu;

            fn of(x: f64) -> Self {
                ($of)(x)
            }

            fn wide(self) -> f64 {
                self.into()
            }

            fn bits(self) -> u64 {
                self.to_bits().into()
            }
        }
    )*};
}

both! {
    f16, F16, f16::from_f64;
    bf16, BF16, bf16::from_f64;
    f32, F32, |x| x as f32;
    f64, F64, |x| x;
}

/// Rows in memory, as [`Places`] has them, with distances in numbers.
struct Matrix<T> {
    numbers: Vec<T>,
    start: usize,
    beside: usize,
    stride: usize,
    step: usize,
    count: usize,
    length: usize,
}

impl<T: Both> Matrix<T> {
    /// Contiguous rows, the first of which begins `offset` numbers after an address that is a multiple of 16.
    fn new(rows: &[Vec<T>], offset: usize, gap: usize) -> Self {
        Self::of(rows, offset, gap, 1)
    }

    /// Rows so many of which lie beside each other.
    fn columns(rows: &[Vec<T>], beside: usize, gap: usize) -> Self {
        Self::of(rows, 0, gap, beside)
    }

    fn of(rows: &[Vec<T>], offset: usize, gap: usize, beside: usize) -> Self {
        let (count, length) = (rows.len(), rows.first().map_or(0, Vec::len));
        let step = if beside == 1 { 1 } else { beside + gap };
        let stride = length * step + gap;
        // The memory that no kernel may read has a value that would change the results.
        let numbers = vec![T::of(7e4); count.div_ceil(beside) * stride + 32];
        let start = numbers.as_ptr().align_offset(16).min(16) + offset;
        let mut all = Self { numbers, start, beside, stride, step, count, length };
        for (i, row) in rows.iter().enumerate() {
            for (k, &number) in row.iter().enumerate() {
                let place = all.place(i, k);
                all.numbers[place] = number;
            }
        }
        all
    }

    /// Memory for results that lie as these rows do, with another gap, and where the first one is.
    fn like(&self, gap: usize) -> Self {
        let nothing = vec![vec![T::of(0.5); self.length]; self.count];
        Self::of(&nothing, 0, gap, self.beside)
    }

    fn place(&self, row: usize, number: usize) -> usize {
        self.start + row / self.beside * self.stride + row % self.beside + number * self.step
    }

    fn places(&self) -> Places {
        let [stride, step] = [self.stride, self.step].map(|numbers| (numbers * size_of::<T>()) as u64);
        let address = self.numbers[self.start..].as_ptr() as u64;
        Places { address, beside: self.beside as u32, stride, step }
    }

    fn rows(&self) -> Rows<T::OnGpu> {
        let (count, length) = (self.count as u64, self.length as u32);
        Rows { places: self.places(), count, length, format: PhantomData }
    }

    fn row(&self, index: usize) -> Vec<T> {
        (0..self.length).map(|k| self.numbers[self.place(index, k)]).collect()
    }

    /// The numbers from the first to the last one of each group of rows: of contiguous ones, no others.
    fn groups(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let numbers = (self.length * self.step).saturating_sub(self.step - self.beside.min(self.step));
        (0..self.count.div_ceil(self.beside)).map(move |group| {
            let first = self.start + group * self.stride;
            first..first + numbers
        })
    }

    fn readable(&self, mut memory: Memory) -> Memory {
        for group in self.groups() {
            memory = memory.reads(&self.numbers[group]);
        }
        memory
    }

    fn writable(&mut self, mut memory: Memory) -> Memory {
        for group in self.groups().collect::<Vec<_>>() {
            memory = memory.writes(&mut self.numbers[group]);
        }
        memory
    }

    /// The blocks of so many threads for teams of so many in columns.
    fn blocks_of_columns(&self, lanes: u32, threads: u32) -> [u32; 2] {
        [(self.count as u32).div_ceil(threads / lanes).max(1), 1]
    }

    /// The log-sum-exps by the kernels, and how many rows no phase settled.
    fn logsumexp(&self, lanes: u32, parts: u32) -> (Vec<T>, u32) {
        let rows = self.rows();
        let mut out = vec![T::of(0.5); self.count];
        let [mut queue, mut rest] = [(); 2].map(|()| vec![0_u64; 2 + 2 * self.count]);
        let mut partials = vec![0_u64; parts::BYTES as usize / 8];
        let [queued, left] = [&mut queue, &mut rest].map(|it| Queue { address: it.as_mut_ptr() as u64 });
        let (first, kept) = (out.as_mut_ptr() as u64, Parts { address: partials.as_mut_ptr() as u64 });
        // The numbers of each row may be read, and nothing between them.
        let memory =
            Memory::default().writes(&mut out).writes(&mut queue).writes(&mut rest).writes(&mut partials);
        let memory = self.readable(memory);
        if self.beside > 1 {
            launch(&memory, self.blocks_of_columns(lanes, 64), 64, move |gpu| {
                logsumexp::<_, AsColumns, 4, _>(gpu, rows, first, lanes, queued)
            });
        } else if parts > 1 {
            let blocks = [self.count as u32, parts];
            launch(&memory, blocks, lanes, move |gpu| logsumexp_by_parts(gpu, rows, first, queued, kept));
        } else {
            let threads = lanes.max(64);
            let blocks = (self.count as u32).div_ceil(threads / lanes).max(1);
            launch(&memory, [blocks, 1], threads, move |gpu| {
                logsumexp::<_, AsRows, 4, _>(gpu, rows, first, lanes, queued)
            });
        }
        launch(&memory, [8, 1], 64, move |gpu| settle(gpu, rows, first, queued, left, kept));
        if size_of::<T>() == 8 {
            launch(&memory, [8, 1], 64, move |gpu| {
                settle_in_fixed_point(gpu, rows, first, queued, left, kept)
            });
        }
        assert_eq!([queue[0], rest[0]], [0, 0], "a queue is not empty afterwards");
        (out, queue[1] as u32)
    }

    /// Softmax, or its logarithm, and the log-sum-exps, by the kernels, and how many numbers no phase settled.
    fn shares<const LOG: bool>(&self, lanes: u32) -> (Vec<T>, Vec<T>, u32) {
        let rows = self.rows();
        // Rows of results have the stride of the rows of numbers, or another one.
        let mut out = self.like(self.length % 2);
        let mut values = vec![T::of(0.5); self.count];
        let [mut queue, mut rest] = [(); 2].map(|()| vec![0_u64; 2 + 2 * self.count]);
        let mut partials = vec![0_u64; parts::BYTES as usize / 8];
        let results = Results { places: out.places(), values: values.as_mut_ptr() as u64 };
        let [queued, left] = [&mut queue, &mut rest].map(|it| Queue { address: it.as_mut_ptr() as u64 });
        let kept = Parts { address: partials.as_mut_ptr() as u64 };
        let memory =
            Memory::default().writes(&mut values).writes(&mut queue).writes(&mut rest).writes(&mut partials);
        let memory = out.writable(self.readable(memory));
        if self.beside > 1 {
            launch(&memory, self.blocks_of_columns(lanes, 64), 64, move |gpu| {
                shares::<_, AsColumns, LOG, 4, _>(gpu, rows, results, lanes, queued)
            });
        } else {
            let (threads, teams) = if lanes > 32 { (lanes, 1) } else { (32, 32 / lanes) };
            let blocks = (self.count as u32).div_ceil(teams).max(1);
            launch(&memory, [blocks, 1], threads, move |gpu| {
                shares::<_, AsRows, LOG, 4, _>(gpu, rows, results, lanes, queued)
            });
        }
        launch(&memory, [2, 1], 32, move |gpu| settle_shares(gpu, rows, results, LOG, queued, left));
        if size_of::<T>() == 8 {
            let out = results.values;
            launch(&memory, [4, 1], 32, move |gpu| settle_in_fixed_point(gpu, rows, out, queued, left, kept));
        }
        assert_eq!([queue[0], rest[0]], [0, 0], "a queue is not empty afterwards");
        ((0..self.count).flat_map(|i| out.row(i)).collect(), values, queue[1] as u32)
    }

    fn check_shares<const LOG: bool>(&self, lanes: u32) -> u32 {
        let (found, values, left) = self.shares::<LOG>(lanes);
        let mut exact = vec![T::of(0.5); self.length];
        let mut wrong = 0;
        for i in 0..self.count {
            let row = self.row(i);
            if LOG { logsum::log_softmax(&row, &mut exact) } else { logsum::softmax(&row, &mut exact) }
                .unwrap();
            let pairs = found[i * self.length..].iter().zip(&exact).map(|(x, y)| (*x, *y));
            for (k, (x, y)) in pairs.chain([(values[i], logsum::logsumexp(&row))]).enumerate() {
                if !x.same(y) {
                    wrong += 1;
                    assert!(
                        left > 0,
                        "number {k} of row {i}, {}, {lanes} lanes, {row:?}: {x:?}, not {y:?}",
                        self.length
                    );
                }
            }
        }
        assert!(wrong <= left);
        left
    }

    /// The losses by the kernels, what they keep for the gradients if they do, and how many no phase settled.
    fn losses(
        &self,
        targets: &[i64],
        lanes: u32,
        parts: u32,
        is_kept: bool,
    ) -> (Vec<T>, Option<Vec<f64>>, u32) {
        let rows = self.rows();
        let mut out = vec![T::of(0.5); self.count];
        let mut kept_of_rows = vec![0.5; self.count * Kept::BYTES as usize / 8];
        let mut queue = vec![0_u64; 2 + 2 * self.count];
        let mut partials = vec![0_u64; parts::BYTES as usize / 8];
        let of = Targets { address: targets.as_ptr() as u64, ignored: IGNORED };
        let first = out.as_mut_ptr() as u64;
        let address = kept_of_rows.as_mut_ptr() as u64;
        let results = Losses { out: first, kept: if is_kept { Kept { address } } else { Kept::NOTHING } };
        let (queued, kept) =
            (Queue { address: queue.as_mut_ptr() as u64 }, Parts { address: partials.as_mut_ptr() as u64 });
        let mut memory = Memory::default().writes(&mut out).writes(&mut queue).writes(&mut partials);
        memory = self.readable(memory.reads(targets).writes(&mut kept_of_rows));
        if self.beside > 1 {
            launch(&memory, self.blocks_of_columns(lanes, 64), 64, move |gpu| {
                losses::<_, AsColumns, First<T>, 4, _>(gpu, rows, of, results, lanes, queued)
            });
        } else if parts > 1 {
            let blocks = [self.count as u32, parts];
            launch(&memory, blocks, lanes, move |gpu| {
                if is_kept {
                    losses_by_parts::<_, ToKeep<T>, _>(gpu, rows, of, results, queued, kept);
                } else {
                    losses_by_parts::<_, First<T>, _>(gpu, rows, of, results, queued, kept);
                }
            });
        } else {
            let threads = lanes.max(64);
            let blocks = (self.count as u32).div_ceil(threads / lanes).max(1);
            launch(&memory, [blocks, 1], threads, move |gpu| {
                if is_kept {
                    losses::<_, AsRows, ToKeep<T>, 4, _>(gpu, rows, of, results, lanes, queued);
                } else {
                    losses::<_, AsRows, First<T>, 4, _>(gpu, rows, of, results, lanes, queued);
                }
            });
        }
        launch(&memory, [2, 1], 64, move |gpu| settle_losses(gpu, rows, of, first, queued));
        assert_eq!(queue[0], 0, "the queue is not empty afterwards");
        (out, is_kept.then_some(kept_of_rows), queue[1] as u32)
    }

    /// The gradients of the losses, multiplied by the factors, by the kernels; how many rows the first one queued, and
    /// how many numbers none settled: by teams of so many threads, or by so many blocks for each row, with what the
    /// losses' kernels kept.
    fn loss_gradients(
        &self,
        targets: &[i64],
        factors: &[T],
        lanes: u32,
        kept: Option<&[f64]>,
        parts: u32,
    ) -> (Vec<T>, u32, u32) {
        let rows = self.rows();
        let mut out = self.like(0);
        let mut queue = vec![0_u64; 2 + 2 * self.count];
        let mut partials = vec![0_u64; parts::BYTES as usize / 8];
        let of = Weighted {
            targets: Targets { address: targets.as_ptr() as u64, ignored: IGNORED },
            factors: factors.as_ptr() as u64,
        };
        let results = Results { places: out.places(), values: 0 };
        let queued = Queue { address: queue.as_mut_ptr() as u64 };
        let of_parts = Parts { address: partials.as_mut_ptr() as u64 };
        let memory = Memory::default().writes(&mut queue).writes(&mut partials).reads(targets).reads(factors);
        let memory = out.writable(self.readable(memory));
        if self.beside > 1 {
            launch(&memory, self.blocks_of_columns(lanes, 64), 64, move |gpu| {
                loss_gradients::<_, AsColumns, 4, _>(gpu, rows, of, results, lanes, queued)
            });
        } else if let Some(kept) = kept {
            let (memory, kept) = (memory.clone().reads(kept), Kept { address: kept.as_ptr() as u64 });
            launch(&memory, [self.count as u32, parts], lanes.max(32), move |gpu| {
                loss_gradients_of_kept::<_, 4, _>(gpu, rows, of, kept, results, queued, of_parts)
            });
        } else {
            let (threads, teams) = if lanes > 32 { (lanes, 1) } else { (32, 32 / lanes) };
            let blocks = (self.count as u32).div_ceil(teams).max(1);
            launch(&memory, [blocks, 1], threads, move |gpu| {
                loss_gradients::<_, AsRows, 4, _>(gpu, rows, of, results, lanes, queued)
            });
        }
        let rows_in_queue = queue[0] as u32;
        launch(&memory, [2, 1], 32, move |gpu| settle_loss_gradients(gpu, rows, of, results, queued));
        assert_eq!(queue[0], 0, "the queue is not empty afterwards");
        ((0..self.count).flat_map(|i| out.row(i)).collect(), rows_in_queue, queue[1] as u32)
    }

    /// Losses and gradients against the library's, for targets and factors that depend on the row's index and `turn`;
    /// for odd ones with sums that are kept.
    fn check_losses(&self, lanes: u32, parts: u32, turn: usize) {
        let class = |i: usize| match (i + turn) % 8 {
            0 => IGNORED,
            1 => -1 - i as i64,
            2 => (self.length + i % 3) as i64,
            // The greatest score, whose probability may be nearly 1.
            3 | 4 => (0..self.length)
                .max_by(|&j, &k| self.row(i)[j].partial_cmp(&self.row(i)[k]).unwrap_or(Ordering::Equal))
                .unwrap_or(0) as i64,
            k => (k * i % self.length.max(1)) as i64,
        };
        let targets: Vec<i64> = (0..self.count).map(class).collect();
        let factors: Vec<T> =
            (0..self.count).map(|i| T::of([1.0, -0.3, 0.0, 1.0 / 3.0, 300.0][(i + turn) % 5])).collect();
        let (losses, kept, left) = self.losses(&targets, lanes, parts, turn % 2 == 1 && self.beside == 1);
        let (gradients, _, left_of_gradients) =
            self.loss_gradients(&targets, &factors, lanes, kept.as_deref(), parts);
        assert_eq!([left, left_of_gradients], [0; 2]);
        for (i, &target) in targets.iter().enumerate() {
            let row = self.row(i);
            let (mut loss, mut gradient) = ([T::of(f64::NAN)], vec![T::of(f64::NAN); self.length]);
            let is_ignored = target == IGNORED;
            // Targets that the library refuses have the result NaN here.
            if self.length == 0 && is_ignored {
                loss = [T::of(0.0)];
            } else if is_ignored || (0..self.length as i64).contains(&target) {
                let index = [if is_ignored { usize::MAX } else { target as usize }];
                logsum::CrossEntropy::new(self.length)
                    .ignore(usize::MAX)
                    .losses_with_gradient(&row, logsum::Targets::Classes(&index), &mut loss, &mut gradient)
                    .unwrap();
            }
            let what = format!("row {i}, target {target}, {lanes} lanes, {parts} parts, {row:?}");
            assert!(losses[i].same(loss[0]), "{what}: {:?}, not {:?}", losses[i], loss[0]);
            for (k, slope) in gradient.into_iter().enumerate() {
                let exact = T::of(slope.wide() * factors[i].wide());
                let found = gradients[i * self.length + k];
                let are_zeros = found.wide() == 0.0 && exact.wide() == 0.0;
                assert!(are_zeros || found.same(exact), "{what}, number {k}: {found:?}, not {exact:?}");
            }
        }
    }

    fn check(&self, lanes: u32, parts: u32) -> u32 {
        let (values, left) = self.logsumexp(lanes, parts);
        let mut wrong = 0;
        for (i, value) in values.into_iter().enumerate() {
            let exact = logsum::logsumexp(&self.row(i));
            if !value.same(exact) {
                wrong += 1;
                assert!(left > 0, "row {i} of {}, {lanes} lanes: {value}, not {exact}", self.length);
            }
        }
        assert!(wrong <= left);
        left
    }
}

/// Numbers of one kind.
fn some<T: Both>(random: &mut StdRng, kind: usize, length: usize) -> Vec<T> {
    let mut row: Vec<f64> = (0..length)
        .map(|_| match kind % 9 {
            0 => random.random_range(-5.0..5.0),
            1 => random.random_range(-300.0..300.0),
            2 => 1e4 + random.random_range(-9.0..9.0),
            3 => -2e4 + random.random_range(-3.0..3.0),
            4 => random.random_range(-60.0..-30.0),
            5 => {
                if random.random_bool(0.5) {
                    f64::NEG_INFINITY
                } else {
                    random.random_range(-2.0..2.0)
                }
            }
            6 => 3.0,
            7 => random.random_range(-1.0..1.0) * 10_f64.powi(random.random_range(-12..5)),
            _ => random.random_range(-4.0..4.0),
        })
        .collect();
    if kind % 9 == 4 && length > 0 {
        row[kind % length] = 0.0;
    }
    if kind % 9 == 8 {
        // Normalised: the value is near 0, and consists of rounding errors alone.
        let value = logsum::logsumexp(&row);
        row.iter_mut().for_each(|x| *x -= value);
    }
    row.into_iter().map(T::of).collect()
}

/// Rows with what has no ordinary answer.
fn edges<T: Both>(length: usize) -> Vec<Vec<T>> {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let mut rows =
        vec![vec![-inf; length], vec![0.0; length], vec![-0.0; length], vec![inf; length], vec![nan; length]];
    for special in
        [[inf, 1.0], [nan, 1.0], [inf, nan], [-inf, inf], [-inf, nan], [1e300, -1e300], [1e4, -inf]]
    {
        for place in [0, length / 2, length.saturating_sub(1)] {
            let mut row = vec![special[1]; length];
            if length > 0 {
                row[place] = special[0];
            }
            rows.push(row);
        }
    }
    rows.into_iter().map(|row| row.into_iter().map(T::of).collect()).collect()
}

fn all_lengths<T: Both>(random: &mut StdRng) {
    let per_load = 16 / size_of::<T>();
    let mut lengths: Vec<_> = (0..=4 * per_load * 4 + 3).collect();
    lengths.extend([127, 128, 129, 255, 256, 257, 1000, 1024]);
    for length in lengths {
        let offset = length % per_load;
        let rows: Vec<Vec<T>> = (0..9).map(|kind| some(random, kind, length)).chain(edges(length)).collect();
        let matrix = Matrix::new(&rows, offset, length % 3);
        for lanes in [1, 4, 32] {
            assert_eq!(matrix.check(lanes, 1), 0);
            assert_eq!(matrix.check_shares::<false>(lanes), 0);
            assert_eq!(matrix.check_shares::<true>(lanes), 0);
        }
        matrix.check_losses([1, 4, 32][length % 3], 1, length);
        if length % 7 == 0 {
            assert_eq!(matrix.check(64, 1), 0);
            assert_eq!(matrix.check(64, 4), 0);
            assert_eq!(matrix.check_shares::<false>(64), 0);
            assert_eq!(matrix.check_shares::<true>(64), 0);
            matrix.check_losses(64, 1, length);
            matrix.check_losses(64, 4, length);
        }
    }
}

/// Rows of equal scores, among which a derivative of the loss may be half-way between two floats, and others that lie far
/// below these, or of infinite ones.
fn equal_scores<T: Both>(length: usize) {
    let rows: Vec<Vec<T>> = [0.0, 1.5, 3.0, -2.5, 40.0, 90.0, f64::INFINITY]
        .into_iter()
        .flat_map(|score| [score, score - 40.0, score - 800.0, f64::NEG_INFINITY].map(|last| [score, last]))
        .map(|[score, last]| {
            let mut row = vec![T::of(score); length + 1];
            row[length] = T::of(last);
            row
        })
        .collect();
    for rows in [&rows[..], &rows.iter().map(|row| row[..length].to_vec()).collect::<Vec<_>>()] {
        let matrix = Matrix::new(rows, 0, 0);
        assert_eq!(matrix.check(32, 1), 0);
        assert_eq!(matrix.check_shares::<true>(32), 0);
        for turn in 3..8 {
            matrix.check_losses(32, 1, turn);
        }
    }
}

#[test]
fn scores_that_equal_each_other() {
    for length in [1, 2, 256, 512, 513] {
        equal_scores::<bf16>(length);
        equal_scores::<f16>(length);
        equal_scores::<f32>(length);
        equal_scores::<f64>(length);
    }
    equal_scores::<f16>(4096);
}

/// A gradient leaves about as many rows to the second phase with a sum that was kept as with one of its own.
fn kept_sums<T: Both>(random: &mut StdRng) {
    let rows: Vec<Vec<T>> = (0..200).map(|_| some(random, 0, 1000)).collect();
    let (matrix, targets, factors) = (Matrix::new(&rows, 0, 0), vec![3_i64; 200], vec![T::of(1.0); 200]);
    let (_, kept, _) = matrix.losses(&targets, 32, 1, true);
    let [own, of_kept] =
        [None, kept.as_deref()].map(|kept| matrix.loss_gradients(&targets, &factors, 32, kept, 4).1);
    assert!(of_kept <= 2 * own + 5, "{of_kept} of 200 rows, and {own} without");
}

#[test]
fn sums_that_are_kept() {
    let mut random = StdRng::seed_from_u64(6);
    kept_sums::<f16>(&mut random);
    kept_sums::<bf16>(&mut random);
    kept_sums::<f32>(&mut random);
    kept_sums::<f64>(&mut random);
}

/// The same rows beside each other: fewer than a block has threads, as many, and more; the last group is not full.
fn columns<T: Both>(random: &mut StdRng) {
    for length in [0, 1, 2, 3, 7, 21, 65, 130] {
        let edges = edges(length);
        let rows: Vec<Vec<T>> = (0..75)
            .map(|i| if i < edges.len() { edges[i].clone() } else { some(random, i, length) })
            .collect();
        for (beside, gap) in [(2, 0), (7, 1), (64, 0), (75, 0), (100, 3)] {
            let matrix = Matrix::columns(&rows, beside, gap);
            let lanes = [1, 4, 32][(length + beside) % 3];
            assert_eq!(matrix.check(lanes, 1), 0);
            assert_eq!(matrix.check_shares::<false>(lanes), 0);
            assert_eq!(matrix.check_shares::<true>(lanes), 0);
            matrix.check_losses(lanes, 1, length + beside);
        }
    }
}

#[test]
fn rows_beside_each_other() {
    let mut random = StdRng::seed_from_u64(5);
    columns::<f16>(&mut random);
    columns::<bf16>(&mut random);
    columns::<f32>(&mut random);
    columns::<f64>(&mut random);
}

#[test]
fn rows_of_all_lengths_and_kinds() {
    let mut random = StdRng::seed_from_u64(1);
    all_lengths::<f16>(&mut random);
    all_lengths::<bf16>(&mut random);
    all_lengths::<f32>(&mut random);
    all_lengths::<f64>(&mut random);
}

/// Shares among the subnormal numbers, and differences half-way between two floats, are settled by the later phase
/// alone.
fn wide<T: Both>(random: &mut StdRng, spread: f64) {
    for length in [3, 16, 33] {
        let rows: Vec<Vec<T>> = (0..400)
            .map(|i| {
                let number = |k: usize| match (i + k) % 3 {
                    0 => random.random_range(-spread..spread),
                    1 => random.random_range(-spread..-spread * 0.9),
                    _ => (random.random_range(-spread..spread) as f32 * 16.0).round() as f64 / 16.0,
                };
                (0..length).map(number).map(T::of).collect()
            })
            .collect();
        let matrix = Matrix::new(&rows, 0, 0);
        for lanes in [1, 8] {
            assert_eq!(matrix.check_shares::<false>(lanes), 0);
            assert_eq!(matrix.check_shares::<true>(lanes), 0);
        }
        matrix.check_losses(8, 1, length);
    }
}

#[test]
fn wide_rows() {
    let mut random = StdRng::seed_from_u64(2);
    for spread in [50.0, 400.0, 900.0] {
        wide::<f16>(&mut random, spread);
        wide::<bf16>(&mut random, spread);
        wide::<f32>(&mut random, spread);
        wide::<f64>(&mut random, spread);
    }
}

/// Numbers of all sizes beside each other.
fn of_all_sizes<T: Both>() {
    let some = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        88.0,
        -88.0,
        1e4,
        -1e4,
        700.0,
        -750.0,
        6e4,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    let count = some.len();
    let row = |i: usize| [some[i % count], some[i / count % count], some[i / count / count]];
    let rows: Vec<Vec<T>> = (0..count.pow(3)).map(|i| row(i).map(T::of).to_vec()).collect();
    let matrix = Matrix::new(&rows, 0, 0);
    for lanes in [1, 2, 8] {
        assert_eq!(matrix.check(lanes, 1), 0);
        assert_eq!(matrix.check_shares::<false>(lanes), 0);
        assert_eq!(matrix.check_shares::<true>(lanes), 0);
        for turn in 0..8 {
            matrix.check_losses(lanes, 1, turn);
        }
    }
}

#[test]
fn numbers_of_all_sizes() {
    of_all_sizes::<f16>();
    of_all_sizes::<bf16>();
    of_all_sizes::<f32>();
    of_all_sizes::<f64>();
}

/// Rows far from 0, whose log-sum-exp one f64 holds to no more than its ulp: elements are settled about two words.
fn far_rows<T: Both>() {
    let mut random = StdRng::seed_from_u64(4);
    for (base, step) in [(1e4, 0.125), (1e9, 0.125), (1e12, 0.125), (1e15, 0.125), (1e16, 2.0), (-1e17, 16.0)]
    {
        let rows: Vec<Vec<T>> = (0..600)
            .map(|_| (0..32).map(|_| T::of(base + step * random.random_range(-40_i32..3) as f64)).collect())
            .collect();
        let matrix = Matrix::new(&rows, 0, 0);
        assert_eq!(matrix.check(4, 1), 0);
        assert_eq!(matrix.check_shares::<false>(4), 0);
        assert_eq!(matrix.check_shares::<true>(4), 0);
        matrix.check_losses(4, 1, 3);
    }
}

#[test]
fn rows_far_from_0() {
    far_rows::<f32>();
    far_rows::<f64>();
}

/// Normalised log-probabilities, whose value consists of rounding errors alone: of one row in 300, triple-doubles leave
/// it open. Few such rows are summed by several blocks each.
#[test]
fn normalised_rows() {
    let mut random = StdRng::seed_from_u64(3);
    for length in [2, 16, 33] {
        let rows: Vec<Vec<f64>> = (0..900).map(|_| some(&mut random, 8, length)).collect();
        for rows in [&rows[..]].into_iter().chain(rows.chunks(150)) {
            let matrix = Matrix::new(rows, length % 2, 0);
            assert_eq!(matrix.check(4, 1), 0);
            assert_eq!(matrix.check(64, 2), 0);
        }
        let matrix = Matrix::new(&rows, length % 2, 0);
        assert_eq!(matrix.check_shares::<false>(4), 0);
        assert_eq!(matrix.check_shares::<true>(4), 0);
    }
}
