//! SIMD: the levels, what each provides, and how a loop runs at the best level that the machine has.
//!
//! A level is one file of intrinsics and a row in [`Level`]. The rest is safe.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod kept;
mod portable;
pub(crate) mod scalar;
mod vector;

pub(crate) use kept::Keep;
#[cfg(feature = "half")]
pub(crate) use vector::Sixteen;
pub(crate) use vector::Vector;

use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set that the kernels can run in. All give the same bits.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Level {
    Portable = 1,
    Avx2 = 2,
    Avx512 = 3,
}

impl Level {
    pub const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// Whether this machine has it.
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("f16c"),
            #[cfg(not(target_arch = "x86_64"))]
            _ => false,
        }
    }

    /// The one that kernels run at: the best there is, unless [`Level::force`] chose another.
    #[inline]
    fn current() -> Self {
        match CURRENT.load(Ordering::Relaxed) {
            1 => Self::Portable,
            2 => Self::Avx2,
            3 => Self::Avx512,
            _ => {
                let best =
                    Self::ALL.into_iter().rfind(|level| level.is_available()).unwrap_or(Self::Portable);
                CURRENT.store(best as u8, Ordering::Relaxed);
                best
            }
        }
    }

    /// Makes all kernels of this process run at this level, or, with none, at the best. For tests and benches: false,
    /// and nothing is changed, if the machine lacks it.
    pub fn force(level: Option<Self>) -> bool {
        let available = level.is_none_or(Self::is_available);
        if available {
            CURRENT.store(level.map_or(0, |level| level as u8), Ordering::Relaxed);
        }
        available
    }
}

/// 0 until it is known. Only available levels are ever stored.
static CURRENT: AtomicU8 = AtomicU8::new(0);

/// A loop that can run at any level.
pub(crate) trait Task {
    type Output;

    /// `simd` is any vector of the level.
    fn run<V: Vector>(self, simd: V) -> Self::Output;
}

/// A function that runs at the current level: in its body, V is the level's vector, and the argument behind the semicolon is one.
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

/// Runs a loop at the current level.
#[cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "the only calls of the levels' entries, each where its features were detected"
    )
)]
#[inline]
pub(crate) fn run<T: Task>(task: T) -> T::Output {
    match Level::current() {
        // SAFETY: `current` is a level whose features were detected.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { avx512::run_task(task) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2::run_task(task) },
        _ => portable::run_task(task),
    }
}
