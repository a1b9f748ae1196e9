//! The functions of one or two numbers as ufuncs of NumPy, with broadcasting, `out`, `where`, `reduce`, `accumulate`
//! and `at`.
#![expect(
    unsafe_code,
    reason = "a ufunc's loop is called by NumPy with pointers and strides, and made by its C interface"
)]

use crate::float_environment::within_default;
use crate::memory::collected;
use crate::numbers::{detached, given, view};
use half::{bf16, f16};
use logsum::{Error, Float, each};
use ndarray::ArrayD;
use numpy::npyffi::{NPY_TYPES, PyUFuncGenericFunction, npy_intp};
use pyo3::exceptions::PyValueError;
use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyFloat};
use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::time::{Duration, Instant};

/// The number of elements that are processed at a time.
const CHUNK: usize = 512;

/// The fewest numbers that are reduced at once. After an interrupt NumPy still calls the loop for every remaining row.
/// Such a call takes a tenth of the time of reducing this many numbers; with fewer it would delay the exception.
const MANY: usize = 4096;

/// A function of one slice.
type Unary<T> = fn(&[T], &mut [T]) -> Result<(), Error>;

/// A function of two.
type Binary<T> = fn(&[T], &[T], &mut [T]) -> Result<(), Error>;

/// A loop's function, for each format.
trait Function {
    const ARGUMENTS: usize;

    /// The result of a reduction of no numbers, if there is one.
    const IDENTITY: Option<f64>;

    fn fill<T: Float>(a: &[T], b: &[T], out: &mut [T]) -> Result<(), Error>;
}

macro_rules! functions {
    ($($kind:ident $function:ident $type:ident $identity:ident $doc:literal)*) => {
        $(
            struct $type;

            impl Function for $type {
                const ARGUMENTS: usize = arguments!($kind);
                const IDENTITY: Option<f64> = $identity;

                fn fill<T: Float>(a: &[T], b: &[T], out: &mut [T]) -> Result<(), Error> {
                    call!($kind, $function, a, b, out)
                }
            }
        )*

        pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
            $(add::<$type>(module, stringify!($function), concat!(stringify!($function), "\0"), concat!($doc, "\0"))?;)*
            module.add_function(wrap_pyfunction!(of_bfloat16, module)?)
        }

        fn named(name: &str) -> Option<Binary<bf16>> {
            match name {
                $(stringify!($function) => Some($type::fill::<bf16>),)*
                _ => None,
            }
        }
    };
}

macro_rules! arguments {
    (of_one) => {
        1
    };
    (of_two) => {
        2
    };
}

macro_rules! call {
    (of_one, $function:ident, $a:ident, $b:ident, $out:ident) => {{
        let _ = $b;
        (each::$function as Unary<T>)($a, $out)
    }};
    (of_two, $function:ident, $a:ident, $b:ident, $out:ident) => {
        (each::$function as Binary<T>)($a, $b, $out)
    };
}

/// A ufunc of bfloat16 numbers, by name: NumPy has no type number for them until another package registers the type.
#[pyfunction]
#[pyo3(signature = (name, a, b=None))]
fn of_bfloat16<'py>(
    name: &str,
    a: &Bound<'py, PyAny>,
    b: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = a.py();
    let fill = named(name).ok_or_else(|| PyValueError::new_err(format!("there is no function {name}")))?;
    let a = view::<bf16>(a)?;
    let b = b.map(view::<bf16>).transpose()?;
    let numbers = collected(a.as_array().iter().copied())?;
    let others = b.map_or(Ok(Vec::new()), |b| collected(b.as_array().iter().copied()))?;
    let mut out = collected(std::iter::repeat_n(bf16::ZERO, numbers.len()))?;
    detached(py, numbers.len(), || fill(&numbers, &others, &mut out))?;
    let out =
        ArrayD::from_shape_vec(a.shape(), out).map_err(|error| PyValueError::new_err(error.to_string()))?;
    given(py, out)
}

/// The log-sum-exp of no numbers, as e^−∞ is 0.
const OF_SUMS: Option<f64> = Some(f64::NEG_INFINITY);

functions! {
    of_two logaddexp LogAddExp OF_SUMS "log(e^x1 + e^x2), correctly rounded.\n\n\
        A number -inf adds nothing. The result is inf if a number is inf and none is NaN, and NaN if one is NaN.\n\n\
        See Also\n--------\nlogsumexp, logsubexp\n\n\
        Examples\n--------\n>>> import logsum\n>>> float(logsum.logaddexp(1000.0, 1000.0))\n1000.6931471805599\n"
    of_two logsubexp LogSubExp None "log(e^x1 - e^x2), correctly rounded.\n\n\
        The result is -inf where both are equal and not inf, and NaN where x1 < x2, both are inf, or one is NaN.\n\n\
        See Also\n--------\nlogaddexp, log1mexp\n\n\
        Examples\n--------\n>>> import logsum\n>>> float(logsum.logsubexp(1000.0, 999.0))\n999.5413248546129\n"
    of_two xlogy XLogY None "x1 log x2, correctly rounded.\n\n\
        The result is 0 where x1 is 0, unless x2 is NaN; otherwise it is NaN where x2 < 0 or a number is NaN.\n\n\
        See Also\n--------\nxlogx\n\n\
        Examples\n--------\n>>> import logsum\n>>> float(logsum.xlogy(3.0, 1.0000000000000002))\n6.661338147750938e-16\n"
    of_one log1pexp Log1pExp None "log(1 + e^x), the softplus function, correctly rounded.\n\n\
        The result is 0 at -inf, inf at inf, and NaN at NaN.\n\n\
        See Also\n--------\nlogexpm1, log_logistic\n\n\
        Examples\n--------\n>>> import logsum\n>>> float(logsum.log1pexp(-40.0))\n4.248354255291589e-18\n"
    of_one log1mexp Log1mExp None "log(1 - e^x) for x <= 0, correctly rounded.\n\n\
        The result is -inf at 0, 0 at -inf, and NaN for x > 0 and at NaN.\n\n\
        See Also\n--------\nlogsubexp\n\n\
        Examples\n--------\n>>> import logsum\n>>> float(logsum.log1mexp(-40.0))\n-4.248354255291589e-18\n"
    of_one logexpm1 LogExpm1 None "log(e^x - 1) for x >= 0, the inverse of log1pexp, correctly rounded.\n\n\
        The result is -inf at 0, inf at inf, and NaN for x < 0 and at NaN.\n\n\
        See Also\n--------\nlog1pexp\n\n\
        Examples\n--------\n>>> import logsum\n>>> float(logsum.logexpm1(1e-20))\n-46.051701859880914\n"
    of_one log_logistic LogLogistic None "-log(1 + e^-x), the logarithm of logistic, correctly rounded.\n\n\
        The result is -inf at -inf, 0 at inf, and NaN at NaN.\n\n\
        See Also\n--------\nlogistic, log1pexp\n\n\
        Examples\n--------\n>>> import logsum\n>>> float(logsum.log_logistic(40.0))\n-4.248354255291589e-18\n"
    of_one logistic Logistic None "1/(1 + e^-x), the sigmoid function, correctly rounded.\n\n\
        The result is 0 at -inf, 1 at inf, and NaN at NaN.\n\n\
        See Also\n--------\nlogit, log_logistic\n\n\
        Examples\n--------\n>>> import logsum\n>>> float(logsum.logistic(-740.0))\n4.2e-322\n"
    of_one logit Logit None "log(p/(1 - p)), the inverse of logistic, correctly rounded.\n\n\
        The result is -inf at 0, inf at 1, and NaN outside of 0 to 1 and at NaN.\n\n\
        See Also\n--------\nlogistic\n\n\
        Examples\n--------\n>>> import logsum\n>>> float(logsum.logit(0.5000000000000001))\n4.440892098500626e-16\n"
    of_one xlogx XLogX None "x log x, correctly rounded.\n\n\
        The result is 0 at 0, inf at inf, and NaN for x < 0 and at NaN.\n\n\
        See Also\n--------\nxlogy, softmax_entropy\n\n\
        Examples\n--------\n>>> import logsum\n>>> float(logsum.xlogx(2.0))\n1.3862943611198906\n"
}

/// The loop that NumPy calls for `dimensions[0]` elements; each argument has a pointer and a step in bytes.
///
/// # Safety
/// The call is NumPy's: there are as many arguments as the ufunc was made with, and one result, all of this format.
unsafe extern "C" fn run<T: Float, F: Function>(
    arguments: *mut *mut c_char,
    dimensions: *mut npy_intp,
    steps: *mut npy_intp,
    _: *mut c_void,
) {
    let [mut a, mut b, mut out] = [[T::default(); CHUNK]; 3];
    // SAFETY: NumPy's contract; elements may be unaligned, and the result may be an argument, so they are copied.
    unsafe {
        let count = usize::try_from(*dimensions).unwrap_or(0);
        let load = |argument: usize, start: usize, to: &mut [T]| {
            let (base, step) = (*arguments.add(argument), *steps.add(argument));
            for (i, to) in to.iter_mut().enumerate() {
                *to = base.offset((start + i) as isize * step).cast::<T>().read_unaligned();
            }
        };
        let is_reduction = *steps == 0 && *steps.add(2) == 0 && *arguments == *arguments.add(2);
        if F::IDENTITY.is_some() && is_reduction && count >= MANY {
            return sum::<T>(*arguments, count, *arguments.add(1), *steps.add(1));
        }
        let mut start = 0;
        // In an accumulation each result is the first argument of the next, so that elements are processed one by one.
        let is_chain = F::ARGUMENTS == 2
            && *steps == *steps.add(2)
            && (*arguments).wrapping_offset(*steps) == *arguments.add(2);
        while start < count {
            let length = if is_chain { 1 } else { CHUNK.min(count - start) };
            if is_interrupted(length) {
                return;
            }
            load(0, start, &mut a[..length]);
            if F::ARGUMENTS == 2 {
                load(1, start, &mut b[..length]);
            }
            // The slices have the same length, so there is no error.
            let _ = within_default(|| F::fill(&a[..length], &b[..length], &mut out[..length]));
            let (base, step) = (*arguments.add(F::ARGUMENTS), *steps.add(F::ARGUMENTS));
            for (i, value) in out[..length].iter().enumerate() {
                base.offset((start + i) as isize * step).cast::<T>().write_unaligned(*value);
            }
            start += length;
        }
        clear_exceptions();
    }
}

/// A reduction by `logaddexp`: the log-sum-exp of the total so far and `count` numbers, rounded once for each block of
/// them.
///
/// # Safety
/// As in [`run`]: there is a number at `total`, and there are `count` of them from `base` on.
unsafe fn sum<T: Float>(total: *mut c_char, count: usize, base: *const c_char, step: npy_intp) {
    const BLOCK: usize = 1 << 16;
    let mut numbers = Vec::with_capacity(count.min(BLOCK) + 1);
    for start in (0..count).step_by(BLOCK) {
        let length = BLOCK.min(count - start);
        if is_interrupted(length) {
            return;
        }
        // SAFETY: the caller's contract; numbers may be unaligned.
        unsafe {
            numbers.push(total.cast::<T>().read_unaligned());
            numbers.extend(
                (start..start + length).map(|i| base.offset(i as isize * step).cast::<T>().read_unaligned()),
            );
            total.cast::<T>().write_unaligned(within_default(|| logsum::logsumexp(&numbers)));
        }
        numbers.clear();
    }
    clear_exceptions();
}

/// Whether a signal handler has raised an exception, checked every 50 ms, before `more` numbers are processed.
///
/// NumPy checks for an exception only after its last loop. Until then, loops see that there is one, and do nothing.
fn is_interrupted(more: usize) -> bool {
    thread_local! {
        static IS_RAISED: Cell<bool> = const { Cell::new(false) };
        static DONE: Cell<usize> = const { Cell::new(0) };
        static DUE: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    if IS_RAISED.get() {
        IS_RAISED.set(Python::attach(PyErr::occurred));
        return IS_RAISED.get();
    }
    DONE.set(DONE.get() + more);
    if DONE.get() < 8 * CHUNK {
        return false;
    }
    DONE.set(0);
    let now = Instant::now();
    if DUE.get().is_some_and(|due| now < due) {
        return false;
    }
    DUE.set(Some(now + Duration::from_millis(50)));
    // A handler must not run while an exception is set, whoever raised it.
    let raises = |py: Python<'_>| {
        !PyErr::occurred(py) && py.check_signals().map_err(|error| error.restore(py)).is_err()
    };
    IS_RAISED.set(Python::attach(raises));
    IS_RAISED.get()
}

#[cfg(unix)]
unsafe extern "C" {
    fn feclearexcept(exceptions: c_int) -> c_int;
}

/// Clears exceptions that were raised by intermediate results, of padding or of a branch that is not taken: NumPy would
/// warn of them.
fn clear_exceptions() {
    #[cfg(unix)]
    {
        const ALL: c_int = if cfg!(any(target_arch = "x86_64", target_arch = "x86")) { 0x3d } else { 0x1f };
        // SAFETY: the C library accepts any bits that stand for exceptions.
        unsafe { feclearexcept(ALL) };
    }
}

fn add<F: Function>(
    module: &Bound<'_, PyModule>,
    name: &str,
    c_name: &'static str,
    doc: &'static str,
) -> PyResult<()> {
    const TYPES: [NPY_TYPES; 3] = [NPY_TYPES::NPY_HALF, NPY_TYPES::NPY_FLOAT, NPY_TYPES::NPY_DOUBLE];
    let py = module.py();
    let loops: [PyUFuncGenericFunction; 3] = [Some(run::<f16, F>), Some(run::<f32, F>), Some(run::<f64, F>)];
    let types = TYPES.into_iter().flat_map(|format| std::iter::repeat_n(format as c_char, F::ARGUMENTS + 1));
    // The ufunc needs them for its whole life, which is that of the process.
    let (loops, types) = (Box::leak(Box::new(loops)), Vec::leak(types.collect()));
    let data: &mut [*mut c_void; 3] = Box::leak(Box::new([std::ptr::null_mut(); 3]));
    let text = |text: &'static str| {
        CStr::from_bytes_with_nul(text.as_bytes()).map(CStr::as_ptr).unwrap_or(c"".as_ptr())
    };
    let identity = F::IDENTITY.map(|identity| PyFloat::new(py, identity));
    /// NumPy's codes for an identity that is given as an object, and for none.
    const GIVEN: c_int = -3;
    const NONE: c_int = -1;
    // SAFETY: the pointers stay valid for ever, and the lengths are right.
    let ufunc = unsafe {
        let ufunc = maker(py)?(
            loops.as_mut_ptr(),
            data.as_mut_ptr(),
            types.as_mut_ptr(),
            TYPES.len() as c_int,
            F::ARGUMENTS as c_int,
            1,
            if identity.is_some() { GIVEN } else { NONE },
            text(c_name),
            text(doc),
            0,
            std::ptr::null(),
            identity.as_ref().map_or(std::ptr::null_mut(), Bound::as_ptr),
        );
        Bound::from_owned_ptr_or_err(py, ufunc)?
    };
    module.add(name, ufunc)
}

/// `PyUFunc_FromFuncAndDataAndSignatureAndIdentity`, which the bindings leave out: loops, data, types, how many loops,
/// inputs and results, kind of identity, name, documentation, 0, signature, identity.
type Maker = unsafe extern "C" fn(
    *mut PyUFuncGenericFunction,
    *mut *mut c_void,
    *mut c_char,
    c_int,
    c_int,
    c_int,
    c_int,
    *const c_char,
    *const c_char,
    c_int,
    *const c_char,
    *mut PyObject,
) -> *mut PyObject;

fn maker(py: Python<'_>) -> PyResult<Maker> {
    /// Its place in NumPy's table, the same since 1.16.
    const PLACE: usize = 42;
    let capsule = py.import("numpy._core._multiarray_umath")?.getattr("_UFUNC_API")?;
    let table = capsule.cast_into::<PyCapsule>()?.pointer_checked(None)?.cast::<*const c_void>();
    // SAFETY: the table is NumPy's, and the function at this place has this type.
    Ok(unsafe { std::mem::transmute::<*const c_void, Maker>(table.add(PLACE).read()) })
}
