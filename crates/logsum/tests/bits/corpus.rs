//! A fixed set of calls, and a hash of the bits of all their results.
//!
//! The inputs are made from integers by arithmetic that is exact or rounded once, without the platform's
//! mathematical library, so that they are equal on every machine. The only exception are rows that nearly cancel,
//! which are log-softmaxes computed by the library. All NaNs are equal.

use half::{bf16, f16};
use logsum::{
    Accumulator, ArrayTerms, ComplexLogSumExp, CrossEntropy, Cumulative, EffectiveSampleSize, Float,
    LogMatmul, LogSumExp, NoMass, Reduction, Segments, ShardedLogProb, Targets, Terms,
};
use ndarray::{Array, Array2, Array3, ArrayD, ArrayRef, Axis, Dimension};
use num_complex::Complex;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// May change only with the inputs or with a better result, never to match a machine that differs.
pub const HASH: u64 = 0x250e_c28e_ef04_8617;

/// The hash of all families' hashes in all formats; prints one line per family, to locate a difference.
pub fn together(hashes: &[u64], mut print: impl FnMut(&str)) -> u64 {
    let mut all = Fnv::new();
    print(&format!("{:<16}{:>17}{:>17}{:>17}{:>17}", "", "f16", "bf16", "f32", "f64"));
    for (family, of_formats) in FAMILIES.iter().zip(hashes.chunks(4)) {
        let words: Vec<String> = of_formats.iter().map(|hash| format!(" {hash:016x}")).collect();
        print(&format!("{:<16}{}", family.name, words.concat()));
        of_formats.iter().for_each(|&hash| all.word(hash));
    }
    all.0
}

/// A family of operations, and the functions that compute its hash in each format at the current level.
pub struct Family {
    pub name: &'static str,
    pub hashes: [fn() -> u64; 4],
}

macro_rules! families {
    ($($family:ident)*) => {
        [$(Family {
            name: stringify!($family),
            hashes: [hashed::<$family, f16>, hashed::<$family, bf16>, hashed::<$family, f32>, hashed::<$family, f64>],
        }),*]
    };
}

pub const FAMILIES: [Family; 13] = families!(
    Reductions LargeOutputs Weighted Moments AtTemperature Elementwise Derivatives Scans Products Losses ComplexNumbers
    Arrays Pieces
);

fn hashed<C: Calls, T: Number>() -> u64 {
    let mut hash = Fnv::new();
    C::call::<T>(&mut hash);
    hash.0
}

trait Calls {
    fn call<T: Number>(hash: &mut Fnv);
}

/// FNV-1a.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn word(&mut self, word: u64) {
        for byte in word.to_le_bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn one<T: Number>(&mut self, x: T) {
        self.word(x.canonical_bits());
    }

    fn all<'a, T: Number>(&mut self, numbers: impl IntoIterator<Item = &'a T>) {
        numbers.into_iter().for_each(|&x| self.one(x));
    }

    /// Hashes the values that a call returns and writes into a slice of this length.
    fn written<T: Number, const N: usize>(&mut self, length: usize, call: impl FnOnce(&mut [T]) -> [T; N]) {
        let mut out = vec![T::of(-7.0); length];
        let returned = call(&mut out);
        self.all(&returned);
        self.all(&out);
    }
}

trait Number: Float + Into<f64> {
    /// A number near the largest of the format.
    const LARGE: f64;

    /// The nearest number, by way of f32 for the narrower formats.
    fn of(x: f64) -> Self;

    fn from_low_bits(bits: u64) -> Self;

    fn bits(self) -> u64;

    fn canonical_bits(self) -> u64 {
        if self.into().is_nan() { !0 } else { self.bits() }
    }
}

macro_rules! number {
    ($format:ty, $bits:ty, $large:expr, $of:expr) => {
        impl Number for $format {
            const LARGE: f64 = $large;

            fn of(x: f64) -> Self {
                $of(x)
            }

            fn from_low_bits(bits: u64) -> Self {
                Self::from_bits(bits as $bits)
            }

            fn bits(self) -> u64 {
                self.to_bits().into()
            }
        }
    };
}

number!(f16, u16, 6e4, |x| Self::from_f32(x as f32));
number!(bf16, u16, 3e38, |x| Self::from_f32(x as f32));
number!(f32, u32, 3e38, |x| x as f32);
number!(f64, u64, 1.7e308, |x| x);

struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// A multiple of 2^-53 in [0, 1).
    fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// An integer below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound as u64) as usize
    }

    /// A number in [−spread, spread).
    fn about_zero(&mut self, spread: f64) -> f64 {
        spread * (2.0 * self.unit() - 1.0)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tame,
    Wide,
    Narrow,
    Rising,
    Falling,
    Normalised,
    Ties,
    Deep,
    Subnormal,
    Large,
    AnyBits,
    SomeAbsent,
    Massless,
    SomeInfinite,
    SomeNan,
}

use Kind::*;

const FINITE: [Kind; 9] = [Tame, Wide, Narrow, Rising, Falling, Normalised, Ties, Deep, Large];
const EDGES: [Kind; 4] = [SomeAbsent, Massless, SomeInfinite, SomeNan];
const ALL: [Kind; 15] = [
    Tame,
    Wide,
    Narrow,
    Rising,
    Falling,
    Normalised,
    Ties,
    Deep,
    Subnormal,
    Large,
    AnyBits,
    SomeAbsent,
    Massless,
    SomeInfinite,
    SomeNan,
];

fn row<T: Number>(kind: Kind, length: usize) -> Vec<T> {
    let mut random = Random::new((kind as u64) << 32 | length as u64);
    if kind == Normalised {
        let z: Vec<T> = row(Tame, length);
        let mut out = z.clone();
        logsum::log_softmax(&z, &mut out).expect("as long");
        return out;
    }
    let some = random.below(5);
    let z = (0..length).map(|i| {
        let now_and_then = i % 5 == some;
        T::of(match kind {
            Tame => random.about_zero(10.0),
            Wide => random.about_zero(1500.0),
            Narrow => random.about_zero(1.0) / (1_u64 << 30) as f64,
            Rising => i as f64 * 0.0625 + random.unit(),
            Falling => i as f64 * -0.5 + random.unit(),
            Ties => (4.0 * random.unit()).floor(),
            Deep => random.unit() * if i % 2 == 0 { -103.0 } else { -745.0 },
            Subnormal if i == 0 => 0.0,
            // Near the smallest numbers of f16, of f32 and bf16, and of f64.
            Subnormal => [-16.0, -100.0, -741.0][length % 3] - random.unit(),
            Large => random.about_zero(T::LARGE),
            AnyBits => loop {
                let z = T::from_low_bits(random.0.next_u64()).into();
                if z.is_finite() {
                    break z;
                }
            },
            SomeAbsent if now_and_then => f64::NEG_INFINITY,
            SomeInfinite if now_and_then => f64::INFINITY,
            SomeNan if now_and_then => f64::NAN,
            Massless => f64::NEG_INFINITY,
            _ => random.about_zero(5.0),
        })
    });
    z.collect()
}

/// Calls `call` with a row of each kind and length, and a random source for further arguments.
fn each_row<T: Number>(
    kinds: &[Kind],
    lengths: impl IntoIterator<Item = usize>,
    mut call: impl FnMut(&[T], Random),
) {
    for length in lengths {
        for &kind in kinds {
            // Subnormal values take milliseconds.
            if kind == Subnormal && length > 12 {
                continue;
            }
            // At several offsets from a multiple of 32 bytes.
            let offset = (length + kind as usize) % 4;
            let mut place = vec![T::default(); offset];
            place.extend(row::<T>(kind, length));
            call(&place[offset..], Random::new(1 << 62 | (kind as u64) << 32 | length as u64));
        }
    }
}

fn vector<T: Number>(random: &mut Random, length: usize, spread: f64) -> Vec<T> {
    (0..length).map(|_| T::of(random.about_zero(spread))).collect()
}

/// Lengths near the steps of the loops.
fn some_lengths() -> impl Iterator<Item = usize> + Clone {
    (0..20).chain([31, 32, 33, 63, 64, 65, 70, 127, 128, 129])
}

struct Reductions;

impl Calls for Reductions {
    fn call<T: Number>(hash: &mut Fnv) {
        let call = |z: &[T], _: Random| {
            hash.one(logsum::logsumexp(z));
            hash.written(z.len(), |out| [logsum::logsumexp_with_gradient(z, out).unwrap()]);
            hash.written(z.len(), |out| logsum::softmax(z, out).map(|()| []).unwrap());
            hash.written(z.len(), |out| logsum::log_softmax(z, out).map(|()| []).unwrap());
        };
        let mut call = call;
        each_row(&ALL, (0..=70).chain([1000, 1025]), &mut call);
        each_row(&[Tame, Rising, Falling, Normalised, SomeAbsent], [70_000], &mut call);
        const LN_2: f64 = std::f64::consts::LN_2;
        for row in [
            &[0.0, -40.0][..],
            &[0.0, -100.0],
            &[0.0, -740.0],
            &[-0.0],
            &[-0.0, f64::NEG_INFINITY],
            &[-LN_2, -LN_2],
            &[-2.0 * LN_2; 4],
            &[1000.0, 1000.0],
            &[1e8, 1e8],
        ] {
            let z: Vec<T> = row.iter().map(|&z| T::of(z)).collect();
            call(&z, Random::new(0));
        }
    }
}

/// More than 16 MiB, which is written past the caches.
struct LargeOutputs;

impl Calls for LargeOutputs {
    fn call<T: Number>(hash: &mut Fnv) {
        let length = (17 << 20) / size_of::<T>();
        if size_of::<T>() < 4 {
            return;
        }
        let mut random = Random::new(7);
        let z: Vec<T> = vector(&mut random, length, 10.0);
        hash.written(length, |out| logsum::softmax(&z, out).map(|()| []).unwrap());
        hash.written(length, |out| logsum::log_softmax(&z, out).map(|()| []).unwrap());
    }
}

struct Weighted;

impl Weighted {
    fn terms<T: Number>(hash: &mut Fnv, terms: Terms<'_, T>, random: &mut Random, length: usize) {
        hash.one(terms.logsumexp());
        hash.all(&<[T; 2]>::from(terms.logsumexp_with_sign()));
        let sign = terms.logsumexp_with_sign();
        hash.written(length, |out| terms.logsumexp_with_gradient(out).map(|_| sign.into()).unwrap());
        let mut by_weight = vec![T::default(); length];
        hash.written(length, |out| {
            terms.logsumexp_with_gradients(out, &mut by_weight).map(|_| sign.into()).unwrap()
        });
        hash.all(&by_weight);
        hash.written(length, |out| terms.softmax(out).map(|()| []).unwrap());
        let v = vector(random, length, 3.0);
        hash.all(&<[T; 2]>::from(terms.jvp(&v).unwrap()));
        hash.written(length, |out| terms.hvp(&v, out).map(|()| []).unwrap());
    }
}

impl Calls for Weighted {
    fn call<T: Number>(hash: &mut Fnv) {
        let kinds = [Tame, Wide, Rising, Ties, Large, SomeAbsent, Massless, SomeInfinite, SomeNan];
        each_row(&kinds, (0..14).chain([33, 64, 200, 1025]), |z: &[T], mut random| {
            let n = z.len();
            let mask: Vec<bool> = (0..n).map(|_| random.below(3) > 0).collect();
            for no_mass in [NoMass::Zero, NoMass::Uniform, NoMass::NaN] {
                let terms = Terms::new(z).no_mass(no_mass).mask(&mask).unwrap();
                Self::terms(hash, terms, &mut random, n);
            }
            for weights in 0..4 {
                let b: Vec<T> = (0..n)
                    .map(|_| {
                        T::of(match weights {
                            0 => random.unit(),
                            1 => random.about_zero(1.0),
                            2 => [0.0, 1.0, -0.0, 2.0, f64::INFINITY][random.below(5)],
                            _ => [0.0, 1e-4, 30_000.0, -4.0][random.below(4)],
                        })
                    })
                    .collect();
                let terms = Terms::new(z).weights(&b).unwrap();
                Self::terms(hash, terms, &mut random, n);
                Self::terms(hash, terms.mask(&mask).unwrap(), &mut random, n);
            }
        });
        // Terms that cancel entirely, or except for a last place.
        each_row(&[Tame, Narrow, Ties], 1..9, |z: &[T], mut random| {
            let mut twice = [z, z].concat();
            let b: Vec<T> = (0..twice.len()).map(|i| T::of(if i < z.len() { 1.0 } else { -1.0 })).collect();
            for _ in 0..2 {
                let terms = Terms::new(&twice).weights(&b).unwrap();
                Self::terms(hash, terms, &mut random, b.len());
                let last = twice[0];
                twice[0] = T::from_low_bits(last.bits() ^ 1);
            }
        });
    }
}

struct Moments;

impl Calls for Moments {
    fn call<T: Number>(hash: &mut Fnv) {
        let call = |z: &[T], mut random: Random| {
            let n = z.len();
            let v: Vec<T> = vector(&mut random, n, 3.0);
            hash.one(logsum::logmeanexp(z));
            hash.all(&<[T; 2]>::from(logsum::logsumexp_jvp(z, &v).unwrap()));
            hash.written(n, |out| logsum::logsumexp_hvp(z, &v, out).map(|()| []).unwrap());
            for ddof in [0, 1] {
                hash.one(logsum::logvarexp(z, ddof));
                hash.written(n, |out| [logsum::logvarexp_with_gradient(z, ddof, out).unwrap()]);
                hash.all(&<[T; 2]>::from(logsum::logvarexp_jvp(z, ddof, &v).unwrap()));
                hash.written(n, |out| logsum::logvarexp_hvp(z, ddof, &v, out).map(|()| []).unwrap());
            }
            hash.one(logsum::softmax_entropy(z));
            hash.written(n, |out| [logsum::softmax_entropy_with_gradient(z, out).unwrap()]);
            hash.all(&<[T; 2]>::from(logsum::softmax_entropy_jvp(z, &v).unwrap()));
            hash.written(n, |out| logsum::softmax_entropy_hvp(z, &v, out).map(|()| []).unwrap());
            let near: Vec<T> = z.iter().zip(&v).map(|(&z, &v)| T::of(z.into() + 0.01 * v.into())).collect();
            for y in [&near, &v] {
                let mut by_y = v.clone();
                hash.written(n, |by_x| [logsum::softmax_kl_with_gradient(z, y, by_x, &mut by_y).unwrap()]);
                hash.all(&by_y);
            }
        };
        let mut call = call;
        each_row(&FINITE, some_lengths().chain([1025]), &mut call);
        each_row(&EDGES, some_lengths(), &mut call);
        each_row(&[Tame], [70_000], &mut call);
    }
}

struct AtTemperature;

impl Calls for AtTemperature {
    fn call<T: Number>(hash: &mut Fnv) {
        let call = |z: &[T], mut random: Random| {
            let n = z.len();
            let v: Vec<T> = vector(&mut random, n, 3.0);
            for tau in [0.01, 0.7, 1.0, 30.0] {
                let terms = Terms::new(z).temperature(tau).unwrap();
                hash.one(terms.logsumexp());
                let entropy = terms.softmax_entropy();
                hash.written(n, |out| [terms.logsumexp_with_gradient(out).unwrap(), entropy]);
                hash.all(&<[T; 2]>::from(terms.jvp(&v).unwrap()));
                hash.written(n, |out| terms.hvp(&v, out).map(|()| []).unwrap());
                hash.written(n, |out| terms.softmax(out).map(|()| []).unwrap());
                hash.written(n, |out| terms.log_softmax(out).map(|()| []).unwrap());
                hash.one(terms.softmax_entropy());
                hash.written(n, |out| [terms.softmax_entropy_with_gradient(out).unwrap()]);
                hash.all(&<[T; 2]>::from(terms.softmax_entropy_jvp(&v).unwrap()));
                hash.written(n, |out| terms.softmax_entropy_hvp(&v, out).map(|()| []).unwrap());
            }
        };
        let mut call = call;
        each_row(&FINITE, some_lengths().chain([1025]), &mut call);
        each_row(&EDGES, some_lengths(), &mut call);
    }
}

/// Arguments of functions of one or two numbers.
fn numbers<T: Number>() -> Vec<T> {
    const LN_2: f64 = std::f64::consts::LN_2;
    let special =
        [0.0, 1e-40, 1e-6, 0.25, 0.5, LN_2, 1.0, 10.0, 37.0, 88.5, 710.0, 1e30, f64::INFINITY, f64::NAN];
    let mut all: Vec<T> = special.iter().flat_map(|&x| [T::of(x), T::of(-x)]).collect();
    all.extend([T::from_low_bits(1), T::of(T::LARGE)]);
    all.extend(row::<T>(AnyBits, 60));
    let mut random = Random::new(11);
    for spread in [1e-5, 1.0, 3.0, 20.0, 100.0] {
        all.extend(vector::<T>(&mut random, 40, spread));
    }
    all
}

/// A second argument for each x: another of the numbers, or one close to x.
fn partners<T: Number>(x: &[T]) -> Vec<T> {
    let mut random = Random::new(12);
    let near = |x: T, random: &mut Random| T::of(x.into() + random.about_zero(0.01));
    (0..x.len())
        .map(|i| if i % 2 == 0 { near(x[i], &mut random) } else { x[random.below(x.len())] })
        .collect()
}

struct Elementwise;

impl Calls for Elementwise {
    fn call<T: Number>(hash: &mut Fnv) {
        use logsum::each;
        let x = numbers::<T>();
        let y = partners(&x);
        for i in 0..x.len() {
            let (x, y) = (x[i], y[i]);
            hash.all(&[logsum::logaddexp(x, y), logsum::logsubexp(x, y), logsum::xlogy(x, y)]);
            hash.all(&[logsum::log1pexp(x), logsum::log1mexp(x), logsum::logexpm1(x)]);
            hash.all(&[logsum::log_logistic(x), logsum::logistic(x), logsum::logit(x), logsum::xlogx(x)]);
        }
        for function in [each::logaddexp, each::logsubexp, each::xlogy] {
            hash.written(x.len(), |out| function(&x, &y, out).map(|()| []).unwrap());
        }
        type Function<T> = fn(&[T], &mut [T]) -> Result<(), logsum::Error>;
        let functions: [Function<T>; 7] = [
            each::log1pexp,
            each::log1mexp,
            each::logexpm1,
            each::log_logistic,
            each::logistic,
            each::logit,
            each::xlogx,
        ];
        for function in functions {
            hash.written(x.len(), |out| function(&x, out).map(|()| []).unwrap());
        }
    }
}

struct Derivatives;

impl Calls for Derivatives {
    fn call<T: Number>(hash: &mut Fnv) {
        use logsum::{derivative, second_derivative};
        let x = numbers::<T>();
        let y = partners(&x);
        for i in 0..x.len() {
            let (x, y) = (x[i], y[i]);
            for function in [derivative::logaddexp, derivative::logsubexp, derivative::xlogy] {
                hash.all(&function(x, y));
            }
            for function in
                [second_derivative::logaddexp, second_derivative::logsubexp, second_derivative::xlogy]
            {
                hash.all(&function(x, y));
            }
            hash.all(&[derivative::log1pexp(x), derivative::log1mexp(x), derivative::logexpm1(x)]);
            hash.all(&[derivative::log_logistic(x), derivative::logistic(x)]);
            hash.all(&[derivative::logit(x), derivative::xlogx(x)]);
            let second = [
                second_derivative::log1pexp(x),
                second_derivative::log1mexp(x),
                second_derivative::logexpm1(x),
                second_derivative::log_logistic(x),
                second_derivative::logistic(x),
                second_derivative::logit(x),
                second_derivative::xlogx(x),
            ];
            hash.all(&second);
        }
    }
}

/// Cumulative sums, and sums of segments.
struct Scans;

impl Calls for Scans {
    fn call<T: Number>(hash: &mut Fnv) {
        let cumulative = [
            Cumulative::forward(),
            Cumulative::reverse(),
            Cumulative::forward().exclusive(),
            Cumulative::reverse().exclusive(),
        ];
        let call = |z: &[T], mut random: Random| {
            let n = z.len();
            let v: Vec<T> = vector(&mut random, n, 3.0);
            hash.written(n, |out| logsum::logcumsumexp(z, out).map(|()| []).unwrap());
            for which in cumulative {
                hash.written(n, |out| which.logsumexp(z, out).map(|()| []).unwrap());
                let mut values = vec![T::default(); n];
                hash.written(n, |out| which.jvp(z, &v, &mut values, out).map(|()| []).unwrap());
                hash.written(n, |out| which.vjp(z, &v, out).map(|()| []).unwrap());
            }

            let count = n / 3 + 1;
            let ids: Vec<usize> = (0..n).map(|_| random.below(count)).collect();
            hash.written(count, |out| logsum::segment_logsumexp(z, &ids, out).map(|()| []).unwrap());
            let mut offsets: Vec<usize> = (0..count).map(|_| random.below(n + 1)).collect();
            offsets.extend([0, n]);
            offsets.sort_unstable();
            for segments in [Segments::by_ids(&ids, count).unwrap(), Segments::by_offsets(&offsets).unwrap()]
            {
                let count = segments.count();
                hash.written(count, |out| segments.logsumexp(z, out).map(|()| []).unwrap());
                let mut gradient = vec![T::default(); n];
                hash.written(count, |out| {
                    segments.logsumexp_with_gradient(z, out, &mut gradient).map(|()| []).unwrap()
                });
                hash.all(&gradient);
                let mut slopes = vec![T::default(); count];
                hash.written(count, |out| {
                    segments.logsumexp_jvp(z, &v, out, &mut slopes).map(|()| []).unwrap()
                });
                hash.all(&slopes);
            }
        };
        let mut call = call;
        each_row(&FINITE, some_lengths().chain([1025]), &mut call);
        each_row(&EDGES, some_lengths(), &mut call);
        each_row(&[Rising], [20_000], &mut call);
    }
}

struct Products;

impl Calls for Products {
    fn call<T: Number>(hash: &mut Fnv) {
        let shapes = [
            [1, 1, 1, 1],
            [1, 2, 0, 3],
            [1, 2, 3, 4],
            [3, 4, 5, 2],
            [1, 8, 16, 8],
            [2, 5, 100, 9],
            [1, 33, 70, 17],
            [1, 9, 600, 25],
        ];
        for [batch, rows, inner, columns] in shapes {
            for kind in [Tame, Wide, Normalised, Ties, Large, SomeAbsent, Massless, SomeInfinite, SomeNan] {
                // Each entry of these products is computed on its own.
                if kind == Large && inner > 100 {
                    continue;
                }
                let [a, b] = [rows, columns].map(|size| row::<T>(kind, batch * inner * size));
                let shape = [batch, rows, inner, columns];
                let size = batch * rows * columns;
                hash.written(size, |out| logsum::log_matmul(&a, &b, shape, out).map(|()| []).unwrap());
                let cotangent = vector(&mut Random::new(inner as u64), size, 3.0);
                let mut grad_b = b.clone();
                hash.written(a.len(), |out| {
                    logsum::log_matmul_vjp(&a, &b, shape, &cotangent, out, &mut grad_b).map(|()| []).unwrap()
                });
                hash.all(&grad_b);
            }
        }
    }
}

struct Losses;

impl Losses {
    fn loss<T: Number>(
        hash: &mut Fnv,
        loss: &CrossEntropy<'_, T>,
        z: &[T],
        targets: Targets<'_, T>,
        rows: usize,
    ) {
        let n = z.len();
        let v: Vec<T> = vector(&mut Random::new(n as u64), n, 3.0);
        for reduction in [Reduction::Mean, Reduction::Sum] {
            hash.one(loss.loss(z, targets, reduction).unwrap());
            hash.written(n, |out| [loss.loss_with_gradient(z, targets, reduction, out).unwrap()]);
            hash.all(&<[T; 2]>::from(loss.jvp(z, targets, reduction, &v).unwrap()));
            hash.written(n, |out| loss.hvp(z, targets, reduction, &v, out).map(|()| []).unwrap());
        }
        hash.written(rows, |out| loss.losses(z, targets, out).map(|()| []).unwrap());
        let mut gradient = vec![T::default(); n];
        hash.written(rows, |out| {
            loss.losses_with_gradient(z, targets, out, &mut gradient).map(|()| []).unwrap()
        });
        hash.all(&gradient);
    }
}

impl Calls for Losses {
    fn call<T: Number>(hash: &mut Fnv) {
        for (rows, classes) in [(1, 1), (3, 2), (70, 10), (17, 33), (20, 65), (4, 1030)] {
            for kind in [Tame, Wide, Falling, Large, SomeAbsent, Massless, SomeInfinite, SomeNan] {
                let z: Vec<T> = row(kind, rows * classes);
                let mut random = Random::new((rows + classes) as u64);
                let classes_of_rows: Vec<usize> = (0..rows).map(|_| random.below(classes)).collect();
                let soft: Vec<T> = (0..z.len()).map(|_| T::of(random.unit())).collect();
                let weights: Vec<T> =
                    (0..classes).map(|_| T::of([0.0, 0.5, 1.0, random.unit()][random.below(4)])).collect();
                let (hard, soft) = (Targets::Classes(&classes_of_rows), Targets::Probabilities(&soft));

                hash.one(logsum::cross_entropy(&z, &classes_of_rows).unwrap());
                hash.written(z.len(), |out| {
                    [logsum::cross_entropy_with_gradient(&z, &classes_of_rows, out).unwrap()]
                });
                let mut second = vec![T::default(); z.len()];
                hash.written(rows, |out| {
                    let entropies = &mut second[..rows];
                    logsum::token_log_probs_with_entropy(&z, &classes_of_rows, out, entropies)
                        .map(|()| [])
                        .unwrap()
                });
                hash.all(&second[..rows]);
                hash.written(rows, |out| {
                    let gradient = &mut second;
                    logsum::token_log_probs_with_gradient(&z, &classes_of_rows, out, gradient)
                        .map(|()| [])
                        .unwrap()
                });
                hash.all(&second);
                let plain = CrossEntropy::new(classes);
                let all = plain.class_weights(&weights).unwrap().ignore(classes_of_rows[0]);
                let all = all.label_smoothing(0.1).unwrap().z_loss(0.001).unwrap().temperature(0.7).unwrap();
                for loss in [
                    plain,
                    plain.ignore(classes_of_rows[0]),
                    plain.class_weights(&weights).unwrap(),
                    plain.label_smoothing(0.25).unwrap(),
                    plain.z_loss(0.01).unwrap(),
                    plain.temperature(2.5).unwrap(),
                    all,
                ] {
                    Self::loss(hash, &loss, &z, hard, rows);
                    Self::loss(hash, &loss, &z, soft, rows);
                }
            }
        }
    }
}

struct ComplexNumbers;

impl ComplexNumbers {
    fn row<T: Number>(z: &[T], random: &mut Random, spread: f64) -> Vec<Complex<T>> {
        let edges = [0.0, -0.0, f64::INFINITY, f64::NAN];
        let imaginary = |random: &mut Random| match random.below(60) {
            i @ 0..4 => edges[i],
            _ => random.about_zero(spread),
        };
        z.iter().map(|&re| Complex { re, im: T::of(imaginary(random)) }).collect()
    }

    fn hash<'a, T: Number>(hash: &mut Fnv, numbers: impl IntoIterator<Item = &'a Complex<T>>) {
        numbers.into_iter().for_each(|z| hash.all(&[z.re, z.im]));
    }
}

impl Calls for ComplexNumbers {
    fn call<T: Number>(hash: &mut Fnv) {
        let kinds = [Tame, Wide, Narrow, Rising, Large, SomeAbsent, Massless, SomeInfinite, SomeNan];
        each_row(&kinds, (0..14).chain([33, 64, 130]), |re: &[T], mut random| {
            for spread in [0.1, 10.0, 1e4, T::LARGE] {
                let z = Self::row(re, &mut random, spread);
                Self::hash(hash, &[logsum::complex_logsumexp(&z)]);
                let mut gradient = z.clone();
                Self::hash(hash, &[logsum::complex_logsumexp_with_gradient(&z, &mut gradient).unwrap()]);
                Self::hash(hash, &gradient);
                let re = vector(&mut random, z.len(), 2.0);
                let b = Self::row(&re, &mut random, 2.0);
                Self::hash(hash, &[logsum::complex_logsumexp_weighted(&z, &b).unwrap()]);
            }
        });
        let re = row::<T>(Tame, 3 * 5 * 7);
        let z = Self::row(&re, &mut Random::new(3), 10.0);
        let z = Array3::from_shape_vec((3, 5, 7), z).unwrap();
        for axis in [0, 1, 2] {
            Self::hash(hash, &z.complex_logsumexp(axis).unwrap());
            let (values, gradient) = z.complex_logsumexp_with_gradient(axis).unwrap();
            Self::hash(hash, &values);
            Self::hash(hash, &gradient);
        }
    }
}

/// Reductions over axes of arrays in several layouts.
struct Arrays;

impl Arrays {
    /// A matrix in which groups of rows are mostly of one kind, with rows of other kinds in between.
    fn table<T: Number>(rows: usize, columns: usize) -> Array2<T> {
        let mut table = Array2::default((rows, columns));
        for (i, mut place) in table.rows_mut().into_iter().enumerate() {
            let kind = if i % 11 == 5 { ALL[i % ALL.len()] } else { FINITE[i / 20 % FINITE.len()] };
            place.iter_mut().zip(row(kind, columns)).for_each(|(place, z)| *place = z);
        }
        table
    }

    fn pair<T: Number, D: Dimension>(hash: &mut Fnv, (values, each): (ArrayD<T>, Array<T, D>)) {
        hash.all(&values);
        hash.all(&each);
    }

    fn plain<T: Number, D: Dimension>(hash: &mut Fnv, z: &ArrayRef<T, D>, axis: isize) {
        hash.all(&z.logsumexp(axis).unwrap());
        Self::pair(hash, z.logsumexp_with_gradient(axis).unwrap());
        hash.all(&z.softmax(axis).unwrap());
        hash.all(&z.log_softmax(axis).unwrap());
    }

    fn family<T: Number, D: Dimension>(hash: &mut Fnv, z: &ArrayRef<T, D>, axis: isize) {
        let mut random = Random::new(axis.unsigned_abs() as u64);
        let v = z.map(|_| T::of(random.about_zero(3.0)));
        let (values, slopes) = z.logsumexp_jvp(axis, &v).unwrap();
        hash.all(&values);
        hash.all(&slopes);
        hash.all(&z.logsumexp_hvp(axis, &v).unwrap());
        hash.all(&z.logmeanexp(axis).unwrap());
        hash.all(&z.logvarexp(axis, 1).unwrap());
        Self::pair(hash, z.logvarexp_with_gradient(axis, 0).unwrap());
        hash.all(&z.softmax_entropy(axis).unwrap());
        Self::pair(hash, z.softmax_entropy_with_gradient(axis).unwrap());
        Self::pair(hash, z.terms(axis).unwrap().temperature(0.3).unwrap().logsumexp_with_gradient().unwrap());
        hash.all(&z.logcumsumexp(axis, Cumulative::reverse()).unwrap());

        let length = z.len_of(Axis(axis as usize));
        let ids: Vec<usize> = (0..length).map(|i| i / 2 % 3).collect();
        hash.all(&z.segment_logsumexp(axis, &Segments::by_ids(&ids, 3).unwrap()).unwrap());
        let targets: Vec<usize> = (0..z.len() / length).map(|_| random.below(length)).collect();
        let loss = CrossEntropy::new(length).label_smoothing(0.1).unwrap();
        for targets in [Targets::Classes(&targets[..]), Targets::Probabilities(&vec![T::of(0.125); z.len()])]
        {
            let (value, gradient) =
                z.cross_entropy_with_gradient(axis, &loss, targets, Reduction::Mean).unwrap();
            hash.one(value);
            hash.all(&gradient);
        }
        let mask = z.map(|_| random.below(4) > 0);
        let terms: ArrayTerms<'_, T, D> = z.terms(axis).unwrap().weights(&v).unwrap().mask(&mask).unwrap();
        hash.all(&terms.logsumexp().unwrap());
        let (values, signs) = terms.logsumexp_with_sign().unwrap();
        hash.all(&values);
        hash.all(&signs);
        Self::pair(hash, terms.logsumexp_with_gradient().unwrap());
        terms.gradients().unwrap().iter().for_each(|gradient| hash.all(gradient));
        hash.all(&terms.hvp(&v).unwrap());

        hash.all(&z.logaddexp(&v).unwrap());
        hash.all(&z.logsubexp(&v).unwrap());
        hash.all(&z.xlogy(&v).unwrap());
        for each in
            [z.log1pexp(), z.log1mexp(), z.logexpm1(), z.log_logistic(), z.logistic(), z.logit(), z.xlogx()]
        {
            hash.all(&each);
        }
    }
}

impl Calls for Arrays {
    fn call<T: Number>(hash: &mut Fnv) {
        let shapes =
            [(1, 5), (83, 16), (9, 20), (70, 63), (150, 64), (40, 130), (5, 1030), (1030, 20), (300, 8)];
        for (rows, columns) in shapes {
            let z = Self::table::<T>(rows, columns);
            for axis in [0, 1] {
                Self::plain(hash, &z, axis);
                Self::plain(hash, &z.t(), axis);
            }
            let wide = Array2::from_shape_vec((rows, columns), row::<T>(Tame, rows * columns)).unwrap();
            Self::plain(hash, &wide, 0);
            Self::plain(hash, &wide, 1);
        }
        let z = Array3::from_shape_vec((6, 11, 10), row::<T>(Tame, 660)).unwrap();
        let mut turned = z.clone();
        turned.swap_axes(0, 2);
        turned.invert_axis(Axis(1));
        for axis in 0..3 {
            Self::plain(hash, &z, axis);
            Self::plain(hash, &turned, axis);
            Self::family(hash, &z, axis);
            Self::family(hash, &turned, axis);
        }
        hash.all(&z.logsumexp([0, 2]).unwrap());
        hash.all(&turned.logsumexp([0, 2]).unwrap());
        Self::pair(hash, z.logsumexp_with_gradient(()).unwrap());
        let right = Array3::from_shape_vec((6, 10, 4), row::<T>(Tame, 240)).unwrap();
        hash.all(&z.log_matmul(&right).unwrap());
    }
}

/// Sums in pieces: the bytes of their states, and their values.
struct Pieces;

impl Calls for Pieces {
    fn call<T: Number>(hash: &mut Fnv) {
        let state = |hash: &mut Fnv, sum: Accumulator<T>| {
            for word in sum.to_bytes().as_chunks().0 {
                hash.word(u64::from_le_bytes(*word));
            }
            hash.all(&[sum.value(), sum.logmeanexp(), sum.max()]);
            hash.word(u64::from(sum.is_proved_nearest()));
        };
        let call = |z: &[T], mut random: Random| {
            let (mut plain, mut weighted) = (Accumulator::new(), Accumulator::new());
            plain.update(z);
            weighted.update_weighted(z, &vector(&mut random, z.len(), 2.0)).expect("as many");
            let mut size = EffectiveSampleSize::new();
            size.update(z);
            state(hash, plain);
            state(hash, weighted);
            plain.merge(&weighted);
            state(hash, plain);
            hash.one(size.value());
            let token = [Some(z.len() / 2)];
            let shards = ShardedLogProb::of_rows(z, &token).expect("a token of the row");
            for word in shards[0].to_bytes().as_chunks().0 {
                hash.word(u64::from_le_bytes(*word));
            }
            hash.written(z.len(), |out| {
                ShardedLogProb::gradients(&shards, z, &token, out).expect("one row");
                [shards[0].log_prob().expect("one shard")]
            });
        };
        each_row::<T>(&ALL, [1, 2, 5, 8, 33, 1030], call);
    }
}
