//! SIMD levels, their interface, and the dispatch of a loop to the best level of the machine.
//!
//! A level is one file of intrinsics, its `mod` declaration and a row in the table below. Everything else is safe
//! code.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(all(target_arch = "aarch64", target_feature = "neon"))]
mod neon;
mod pair;
#[cfg(not(all(target_arch = "aarch64", target_feature = "neon")))]
mod portable;
pub(crate) mod scalar_tasks;
mod storage;
mod vector;

pub(crate) use pair::Pair;
pub(crate) use storage::{Keep, differing, lanes};
#[cfg(feature = "half")]
pub(crate) use vector::Sixteen;
pub(crate) use vector::Vector;

use std::sync::atomic::{AtomicU8, Ordering};

/// `Level` and `run`, from a table of better and better levels, each with the `cfg` under which its module is compiled
/// and the expression that detects it at run time. The first one of a target must be there on all its machines.
macro_rules! levels {
    ($($level:ident, $name:literal, $module:ident, cfg($target:meta), $is_detected:expr;)*) => {
        /// An instruction set that the kernels can run in. All give the same bits.
        #[doc(hidden)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Level {
            $(#[cfg($target)] $level,)*
        }

        impl Level {
            /// Those that machines of this target may have.
            pub const ALL: [Self; [$(#[cfg($target)] (),)*].len()] = [$(#[cfg($target)] Self::$level,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $(#[cfg($target)] Self::$level => $name,)*
                }
            }

            /// Whether this machine supports the level.
            pub fn is_available(self) -> bool {
                match self {
                    $(#[cfg($target)] Self::$level => $is_detected,)*
                }
            }

            /// The level that kernels run at: the best available one, unless [`Level::force`] chose another.
            #[inline]
            fn current() -> Self {
                let current = CURRENT.load(Ordering::Relaxed);
                $(
                    #[cfg($target)]
                    if current == Self::$level.stored() {
                        return Self::$level;
                    }
                )*
                let best = Self::ALL.into_iter().rfind(|level| level.is_available()).unwrap_or(Self::ALL[0]);
                CURRENT.store(best.stored(), Ordering::Relaxed);
                best
            }
        }

        /// Runs a task at the current level.
        #[allow(
            unsafe_code,
            unused_unsafe,
            reason = "the only calls of the levels' entries, each where its features were detected, or are the target's"
        )]
        #[inline]
        pub(crate) fn run<T: Task>(task: T) -> T::Output {
            match Level::current() {
                $(
                    // SAFETY: `current` is a level whose features were detected.
                    #[cfg($target)]
                    Level::$level => unsafe { $module::run_task(task) },
                )*
            }
        }
    };
}

levels! {
    Portable, "portable", portable, cfg(not(all(target_arch = "aarch64", target_feature = "neon"))), true;
    Neon, "NEON", neon, cfg(all(target_arch = "aarch64", target_feature = "neon")), true;
    Avx2, "AVX2", avx2, cfg(target_arch = "x86_64"),
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
    Avx512, "AVX-512", avx512, cfg(target_arch = "x86_64"),
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("f16c");
}

impl Level {
    /// Makes all kernels of this process run at this level or, for `None`, at the best one. Returns false and
    /// changes nothing if the machine lacks the level. For tests and benches.
    pub fn force(level: Option<Self>) -> bool {
        let available = level.is_none_or(Self::is_available);
        if available {
            CURRENT.store(level.map_or(UNKNOWN, Self::stored), Ordering::Relaxed);
        }
        available
    }

    /// What `CURRENT` is at this level.
    const fn stored(self) -> u8 {
        self as u8 + 1
    }
}

/// What `CURRENT` is until the level is known.
const UNKNOWN: u8 = 0;

/// Only available levels are ever stored.
static CURRENT: AtomicU8 = AtomicU8::new(UNKNOWN);

/// A loop that can run at any level.
pub(crate) trait Task {
    type Output;

    /// `simd` is an arbitrary vector of the level, a witness that the machine supports it.
    fn run<V: Vector>(self, simd: V) -> Self::Output;
}

/// Defines a function that runs at the current level. In its body, V is the level's vector type; the argument
/// after the semicolon has this type.
macro_rules! task {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident $(<$($generic:ident: $bound:path),*>)? (
            $($argument:ident: $type:ty),* $(,)?; $simd:tt: $v:ident
        ) $(-> $output:ty)? $body:block
    ) => {
        $(#[$attribute])*
        $visibility fn $name $(<$($generic: $bound),*>)? ($($argument: $type),*) $(-> $output)? {
            struct Arguments<A, G>(A, std::marker::PhantomData<fn() -> G>);

            impl $(<$($generic: $bound),*>)? $crate::simd::Task
                for Arguments<($($type,)*), ($($($generic,)*)?)>
            {
                type Output = $crate::simd::task!(@output $($output)?);

                #[inline(always)]
                fn run<$v: $crate::simd::Vector>(self, $simd: $v) -> Self::Output {
                    let ($($argument,)*) = self.0;
                    $body
                }
            }

            $crate::simd::run(Arguments(
                ($($argument,)*),
                std::marker::PhantomData::<fn() -> ($($($generic,)*)?)>,
            ))
        }
    };
    (@output) => { () };
    (@output $output:ty) => { $output };
}

pub(crate) use task;
