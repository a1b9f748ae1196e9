"""The NumPy side: values against mpmath, layouts, formats, ufuncs, threads, errors."""

import concurrent.futures
import doctest
import math
import os
import signal
import subprocess
import sys
import threading
import time

import ml_dtypes
import mpmath
import numpy as np
import pytest
import type_checks
from family import complaints
from hypothesis import given, settings, strategies as st
from hypothesis.extra import numpy as hnp

import logsum

mpmath.mp.prec = 2000


def exact(a, b=None):
    """The float64 nearest to log Σ b e^a of finite numbers, not of nothing."""
    b = [1] * len(a) if b is None else b
    terms = [mpmath.mpf(float(w)) * mpmath.exp(mpmath.mpf(float(z))) for z, w in zip(a, b)]
    return float(mpmath.log(mpmath.fsum(terms)))


@st.composite
def arrays_and_axes(draw):
    dtype = draw(st.sampled_from([np.float16, np.float32, np.float64]))
    shape = draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
    a = draw(hnp.arrays(dtype, shape, elements=st.floats(-50, 50, width=16)))
    if draw(st.booleans()):
        a = a.transpose(draw(st.permutations(range(a.ndim))))
    slices = tuple(slice(None, None, draw(st.sampled_from([1, 2, -1, -2]))) for _ in range(a.ndim))
    axis = draw(st.none() | st.integers(-a.ndim, a.ndim - 1) | hnp.valid_tuple_axes(a.ndim, min_size=1))
    return a[slices], axis


@settings(max_examples=400, deadline=None)
@given(arrays_and_axes(), st.booleans())
def test_shapes_strides_formats_and_axes(case, keepdims):
    a, axis = case
    value = logsum.logsumexp(a, axis, keepdims=keepdims)
    like = np.sum(a, axis, keepdims=keepdims)
    assert value.shape == like.shape and value.dtype == a.dtype and type(value) is type(like)
    axes = range(a.ndim) if axis is None else np.atleast_1d(axis)
    kept = [d for d in range(a.ndim) if d not in [axis % a.ndim for axis in axes]]
    lanes = a.transpose(*kept, *(axis % a.ndim for axis in axes)).reshape(
        np.size(value), int(np.prod([a.shape[axis] for axis in axes]))
    )
    for value, lane in zip(np.ravel(value), lanes):
        if a.dtype == np.float64:
            assert value == (exact(lane) if lane.size else -np.inf)
        elif lane.size:
            assert abs(float(value) - exact(lane)) <= 0.501 * np.spacing(abs(value))
    if a.size:
        p = logsum.softmax(a, axis)
        assert p.shape == a.shape and p.dtype == a.dtype
        np.testing.assert_allclose(np.exp(logsum.log_softmax(a, axis)), p, rtol=0.02, atol=0.02)
        value, gradient = logsum.logsumexp_value_and_grad(a, axis)
        assert np.array_equal(gradient, p) and np.array_equal(value, logsum.logsumexp(a, axis))


@settings(max_examples=200, deadline=None)
@given(
    hnp.arrays(np.float64, (3, 4), elements=st.floats(-700, 700)),
    hnp.arrays(np.float64, (4,), elements=st.floats(-1e3, 1e3)),
)
def test_weights_of_any_sign(a, b):
    value, sign = logsum.logsumexp(a, axis=1, b=b, return_sign=True)
    for row, value, sign in zip(a, value, sign):
        total = mpmath.fsum(mpmath.mpf(w) * mpmath.exp(mpmath.mpf(z)) for z, w in zip(row.tolist(), b.tolist()))
        assert sign == mpmath.sign(total)
        assert value == (float(mpmath.log(abs(total))) if total else -np.inf)


def test_values_that_others_lose():
    assert logsum.logsumexp([0.0, -40.0]) == 4.248354255291589e-18
    assert logsum.logsumexp([1000, 1000]) == 1000.6931471805599
    half = np.log(0.5)
    assert logsum.logsumexp([half, half]) == 2.3190468138462996e-17
    assert logsum.logsumexp([0, -750], b=[1e-200, 1e300]) == exact([0, -750], [1e-200, 1e300])
    assert logsum.logsumexp(np.zeros(70_000, np.float16)) == np.float16(11.16)


def test_conventions():
    inf, nan = np.inf, np.nan
    assert logsum.logsumexp([]) == -inf
    assert np.array_equal(logsum.logsumexp(np.zeros((2, 0)), axis=1), [-inf, -inf])
    assert np.array_equal(logsum.softmax([-inf, -inf]), [0, 0])
    assert np.array_equal(logsum.softmax([inf, 0, inf]), [0.5, 0, 0.5])
    assert np.isnan(logsum.softmax([nan, 0])).all()
    assert logsum.logsumexp([nan, 1], b=[0, 1]) == 1
    assert logsum.logsumexp([nan, 1], where=[False, True]) == 1
    assert np.isnan(logsum.logsumexp([0, 0], b=[1, -2]))
    value, (of_a, of_b) = logsum.logsumexp_value_and_grad([0.0, 1.0], b=[0.0, 1.0])
    assert value == 1 and of_a.tolist() == [0, 1] and of_b.tolist() == [np.exp(-1), 1]
    assert logsum.logsumexp_value_and_grad([-inf, -inf], no_mass="uniform")[1].tolist() == [0.5, 0.5]


def test_formats():
    for dtype in (np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.longdouble, np.complex64, np.complex128):
        assert logsum.logsumexp(np.ones((2, 3), dtype), axis=0).dtype == dtype
        assert logsum.softmax(np.ones((2, 3), dtype), axis=0).dtype == dtype
    for dtype in (bool, np.int8, np.uint16, np.int64, np.uint64):
        assert logsum.logsumexp(np.ones(3, dtype)).dtype == np.float64
    assert logsum.logsumexp(3).dtype == np.float64 and np.ndim(logsum.logsumexp(3)) == 0
    assert logsum.logsumexp(np.ones(2, np.float32), b=np.ones(2, np.int64)).dtype == np.float64


def test_layouts_are_read_as_they_are(tmp_path):
    a = np.random.default_rng(0).normal(size=(40, 30))
    expected = logsum.logsumexp(a, axis=1)
    read_only = a.copy()
    read_only.flags.writeable = False
    path = tmp_path / "a.npy"
    np.save(path, a)
    record = np.zeros((40, 30), [("skip", "i1"), ("x", "f8")])
    record["x"] = a
    swapped = a.astype(a.dtype.newbyteorder())
    for same in (read_only, np.load(path, mmap_mode="r"), record["x"], swapped, np.asfortranarray(a), a[::-1][::-1]):
        assert np.array_equal(logsum.logsumexp(same, axis=1), expected)
    broadcast = np.broadcast_to(a[:1], (40, 30))
    assert np.array_equal(logsum.logsumexp(broadcast, axis=1), expected[:1].repeat(40))
    before = a.copy()
    logsum.logsumexp(a, b=a, where=a > 0), logsum.softmax(a), logsum.logcumsumexp(a)
    assert np.array_equal(a, before)


def test_out():
    a, out = np.random.default_rng(1).normal(size=(4, 5)), np.empty(4)
    assert logsum.logsumexp(a, axis=1, out=out) is out and np.array_equal(out, logsum.logsumexp(a, axis=1))
    for wrong, error in ((np.empty(5), ValueError), ([0.0] * 4, TypeError), (np.empty(4, int), TypeError)):
        with pytest.raises(error):
            logsum.logsumexp(a, axis=1, out=wrong)


OF_ARRAYS = {
    "logsumexp": lambda a, **o: logsum.logsumexp(a, 1, **o),
    "softmax": lambda a, **o: logsum.softmax(a, 0, **o),
    "log_softmax": lambda a, **o: logsum.log_softmax(a, 1, **o),
    "logmeanexp": lambda a, **o: logsum.logmeanexp(a, 1, **o),
    "logvarexp": lambda a, **o: logsum.logvarexp(a, 0, **o),
    "softmax_entropy": lambda a, **o: logsum.softmax_entropy(a, 1, **o),
    "logcumsumexp": lambda a, **o: logsum.logcumsumexp(a, 1, **o),
    "segment_logsumexp": lambda a, **o: logsum.segment_logsumexp(a, [1, 0, 1], **o),
    "segment_softmax": lambda a, **o: logsum.segment_softmax(a, [1, 0, 1], **o),
    "log_matmul": lambda a, **o: logsum.log_matmul(a, a.T, **o),
    "token_log_probs": lambda a, **o: logsum.token_log_probs(a, [3, 0, 1], **o),
    "logsumexp_hvp": lambda a, **o: logsum.logsumexp_hvp(a, a, 1, **o),
    "logsumexp_value_and_grad": lambda a, **o: logsum.logsumexp_value_and_grad(a, 1, **o)[1],
}


def test_out_may_overlap_the_input():
    """Also where they are parts of different objects, or are each spread over the other's memory."""
    memory = bytearray(8 * 1001)
    start = np.arange(1001.0) % 7

    def views():
        yield np.frombuffer(memory, count=1000), np.frombuffer(memory, offset=8)
        yield np.frombuffer(memory, offset=8)[::-1], np.frombuffer(memory, count=1000)
        square = [np.asarray(memoryview(memory)[: 8 * 900]).view(float).reshape(30, 30) for _ in range(2)]
        yield square[0], square[1].T
        yield square[0], square[1]
        yield square[0][:, ::2], square[1][:, 1::2]

    for function in (logsum.softmax, logsum.log_softmax):
        for x, out in views():
            np.frombuffer(memory)[:] = start
            expected = function(x.copy(), -1)
            assert function(x, -1, out=out) is out and np.array_equal(out, expected)


def test_out_may_have_any_layout():
    a = np.arange(12.0)
    expected = logsum.softmax(a)
    record = np.zeros(12, [("x", "f8"), ("skip", "i1")])["x"]
    swapped = np.zeros(12, np.dtype("f8").newbyteorder())
    for out in (record, swapped, np.zeros(24)[::-2]):
        assert logsum.softmax(a, out=out) is out and np.array_equal(out, expected)


@pytest.mark.parametrize("columns", [5, 8])
def test_threads_work_on_parts_of_one_array(columns):
    """Of which each reads and writes its own."""
    whole = np.random.default_rng(15).normal(size=(20_000, 4 * columns))
    expected = logsum.log_softmax(whole.reshape(-1, 4, columns), -1).reshape(whole.shape)
    out = np.zeros_like(whole)

    def work(part):
        here = np.s_[:, part * columns : (part + 1) * columns]
        for _ in range(5):
            logsum.log_softmax(whole[here], -1, out=out[here])
            logsum.softmax(out[here], -1)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert np.array_equal(out, expected)


# More numbers than the address space can hold as results.
MANY = np.broadcast_to(0.0, 2**46)
TOO_LARGE = {
    "log_matmul": lambda: logsum.log_matmul(np.zeros((2**23, 1)), np.zeros((1, 2**23))),
    "logsumexp": lambda: logsum.logsumexp(MANY[:, None], 1),
    "logsumexp, weights": lambda: logsum.logsumexp(MANY[:, None], 1, b=2.0),
    "logsumexp, complex": lambda: logsum.logsumexp(np.broadcast_to(0j, (2**46, 1)), 1),
    "logsumexp, complex weights": lambda: logsum.logsumexp(np.broadcast_to(0j, 2**46), b=1j),
    "logsumexp_value_and_grad": lambda: logsum.logsumexp_value_and_grad(MANY),
    "logsumexp_value_and_grad, weights": lambda: logsum.logsumexp_value_and_grad(MANY[:, None], 1, b=2.0),
    "logsumexp_jvp": lambda: logsum.logsumexp_jvp(MANY, MANY),
    "logsumexp_hvp": lambda: logsum.logsumexp_hvp(MANY, MANY),
    "softmax": lambda: logsum.softmax(MANY),
    "log_softmax": lambda: logsum.log_softmax(MANY),
    "logcumsumexp": lambda: logsum.logcumsumexp(MANY),
    "logmeanexp": lambda: logsum.logmeanexp(MANY),
    "logvarexp": lambda: logsum.logvarexp(MANY[:, None], 1),
    "softmax_entropy": lambda: logsum.softmax_entropy(MANY),
    "segment_logsumexp": lambda: logsum.segment_logsumexp([0.0], [0], 2**46),
    "segment_softmax": lambda: logsum.segment_softmax([0.0], [0], 2**62),
    "cross_entropy": lambda: logsum.cross_entropy(MANY[:, None], np.broadcast_to(0, 2**46)),
    "token_log_probs": lambda: logsum.token_log_probs(MANY[:, None], np.broadcast_to(0, 2**46)),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_does_not_fit_into_memory_is_an_error(name):
    with pytest.raises(MemoryError):
        TOO_LARGE[name]()


OF_LAST_AXES = {
    "logsumexp": lambda a: logsum.logsumexp(a[..., ::-1], -1, keepdims=True),
    "logsumexp, weights": lambda a: logsum.logsumexp(a, -2, b=np.abs(a), where=a < 1),
    "logsumexp, complex": lambda a: logsum.logsumexp(a + 1j, -1),
    "softmax": lambda a: logsum.softmax(a, -2),
    "softmax, out": lambda a: logsum.softmax(a, -1, out=np.empty_like(a)),
    "softmax, complex": lambda a: logsum.softmax(a + 1j, -1),
    "log_softmax": lambda a: logsum.log_softmax(a, -1, out=a.copy()[..., ::-1]),
    "logsumexp_value_and_grad": lambda a: logsum.logsumexp_value_and_grad(a, -2)[0],
    "logsumexp_value_and_grad, weights": lambda a: logsum.logsumexp_value_and_grad(a, -1, b=np.abs(a))[1][1],
    "logsumexp_jvp": lambda a: logsum.logsumexp_jvp(a, a, -1)[1],
    "logsumexp_hvp": lambda a: logsum.logsumexp_hvp(a, a, -1),
    "logmeanexp": lambda a: logsum.logmeanexp(a, -1),
    "logvarexp": lambda a: logsum.logvarexp(a, -2),
    "softmax_entropy": lambda a: logsum.softmax_entropy(a, -1),
    "logcumsumexp": lambda a: logsum.logcumsumexp(a, -2),
    "segment_logsumexp": lambda a: logsum.segment_logsumexp(a, [1, -1, 1], 2, axis=-2, mode="drop"),
    "segment_softmax": lambda a: logsum.segment_softmax(a, [1, 0, 1], axis=-2),
    "log_matmul": lambda a: logsum.log_matmul(a, np.swapaxes(a, -1, -2)),
    "token_log_probs": lambda a: logsum.token_log_probs(a, np.zeros(a.shape[:-1], int)),
    "cross_entropy": lambda a: logsum.cross_entropy(a, np.abs(a), reduction="none"),
    "logaddexp": lambda a: logsum.logaddexp(a, a),
}


@pytest.mark.parametrize("name", OF_LAST_AXES)
@pytest.mark.parametrize("rank", [33, 64])
def test_many_axes(name, rank):
    """NumPy has up to 64."""
    a = np.random.default_rng(16).normal(size=(3, 4))
    expected, found = (OF_LAST_AXES[name](x) for x in (a, a.reshape(*(1,) * (rank - 2), 3, 4)))
    assert found.shape == (1,) * (rank - 2) + expected.shape
    assert np.array_equal(found.reshape(expected.shape), expected)


def test_float8_is_refused():
    for dtype in (ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3fn):
        for name, call in OF_ARRAYS.items():
            with pytest.raises(TypeError, match=f"must be numbers, not {np.dtype(dtype)}"):
                call(np.ones((3, 4), dtype))
        with pytest.raises(TypeError, match="must be a floating-point format"):
            logsum.softmax(np.zeros(2), dtype=dtype)


def test_what_is_empty_may_be_a_list():
    assert np.isnan(logsum.cross_entropy(np.zeros((0, 2)), []))
    assert logsum.cross_entropy(np.zeros((0, 2)), [], reduction="none").shape == (0,)
    assert logsum.token_log_probs(np.zeros((0, 2)), []).shape == (0,)
    assert logsum.segment_logsumexp(np.zeros((0, 2)), [], 3).tolist() == [[-np.inf] * 2] * 3
    assert logsum.cross_entropy(np.zeros((0, 2)), np.zeros((0, 2)), reduction="none").shape == (0,)


def test_warnings_of_numpy_are_the_callers_alone():
    with np.errstate(all="raise"):
        for function in (logsum.softmax, logsum.log_softmax, lambda x: logsum.logsumexp(x, return_sign=True)[1]):
            for x in ([-800, 0], [1e308, -1e308], [np.inf, 0], [-np.inf, -np.inf], [1e-320j, 0]):
                function(np.array(x, complex))
        logsum.logsumexp_value_and_grad(np.float16([[0, -16], [0, -16]]), b=np.ones((1, 2), np.float16))


def test_entropies_are_of_what_the_logits_were():
    """`out` may be a part of the logits."""
    logits = np.eye(4)
    expected = logsum.token_log_probs(logits, [0] * 4, entropy=True)
    found = logsum.token_log_probs(logits, [0] * 4, entropy=True, out=logits[:, 0])
    assert all(map(np.array_equal, found, expected))


def test_numbers_of_python_have_no_format():
    a = np.zeros(3, np.float32)
    assert logsum.logsumexp(a, b=2.0).dtype == np.float32 and logsum.logsumexp(a, b=np.float64(2)).dtype == np.float64


def test_gradients_of_what_was_broadcast():
    """Their sums do not overflow, or stand still, in narrow formats."""
    a = np.zeros((30_000, 2), np.float16)
    assert logsum.logsumexp_value_and_grad(a, axis=1, b=np.ones((1, 2), np.float16))[1][1].tolist() == [[15_000, 15_000]]


def test_a_forked_process_computes():
    """The pool's threads are not in it."""
    script = """
import multiprocessing, numpy as np, logsum
a = np.zeros((2000, 2000))
logsum.logsumexp(a, axis=1)
def call(i):
    return float(logsum.logsumexp(a + i, axis=1).sum())
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(call, range(3)) == [call(i) for i in range(3)])
"""
    environment = os.environ | {"RAYON_NUM_THREADS": "2"}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=environment)
    assert run.stdout == "True\n", run.stderr


@pytest.mark.parametrize("name", OF_ARRAYS)
def test_out_of_every_function(name):
    """Of the result's format, of a wider one, of any strides, and the input itself."""
    a = np.random.default_rng(12).normal(size=(3, 4)).astype(np.float32)
    expected = OF_ARRAYS[name](a)
    for out in (
        np.full(expected.shape, 9, np.float32),
        np.full(expected.shape, 9, np.float64),
        np.full((*expected.shape, 2), 9, np.float32)[..., 0],
        np.full(expected.shape[::-1], 9, np.float32).T,
    ):
        assert OF_ARRAYS[name](a, out=out) is out
        assert np.array_equal(out, expected)
    if expected.shape == a.shape:
        assert np.array_equal(OF_ARRAYS[name](a, out=a), expected) and np.array_equal(a, expected)
    with pytest.raises(ValueError, match="out has the shape"):
        OF_ARRAYS[name](a, out=np.zeros((7, 7)))
    read_only = np.zeros_like(expected)
    read_only.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        OF_ARRAYS[name](a, out=read_only)


def test_dtype():
    a = np.random.default_rng(13).normal(size=(5, 7)).astype(np.float16)
    for function in (logsum.softmax, logsum.log_softmax):
        for dtype in (np.float32, np.float64, "f4"):
            found = function(a, 1, dtype=dtype)
            assert found.dtype == dtype and np.array_equal(found, function(a.astype(dtype), 1))
        assert function(np.arange(4), dtype=np.float32).dtype == np.float32
        assert np.array_equal(function(np.arange(4), dtype=np.float32, out=np.empty(4)), function(np.arange(4.0, dtype="f4")))


@pytest.mark.parametrize(
    "dtype, held, rounded",
    [
        (np.float16, [2048, -2050, 4100, 65504], [2049, -4098, 65520, 65536, 100_000]),
        (ml_dtypes.bfloat16, [256, -258, 2**40], [257, 2**40 + 1]),
        (np.float32, [2**24, -(2**63), 2**62], [2**24 + 1, -(2**62) - 1]),
        (np.float64, [2**53, 2**53 + 2, -(2**63)], [2**53 + 1, 2**63 - 1]),
        (np.longdouble, [2**53], [2**53 + 1]),
    ],
)
def test_a_format_holds_the_integers_it_is_given(dtype, held, rounded):
    for function in (logsum.softmax, logsum.log_softmax, lambda x, dtype: logsum.token_log_probs(x, 0, dtype=dtype)):
        assert np.array_equal(function(held, dtype=dtype), function(np.array(held).astype(dtype), dtype=dtype))
        for x in rounded:
            with pytest.raises(ValueError, match=f" has {x}, which {np.dtype(dtype)} would round: convert it first"):
                function([0, x], dtype=dtype)
    with pytest.raises(ValueError, match="x has 18446744073709551615"):
        logsum.softmax(np.array([2**64 - 1], np.uint64), dtype=dtype)
    assert logsum.softmax([True, False], dtype=dtype).dtype == dtype


def test_lists_of_axes():
    a = np.random.default_rng(14).normal(size=(2, 3, 4))
    for function in (logsum.logsumexp, logsum.softmax, logsum.log_softmax, logsum.logmeanexp, logsum.logvarexp, logsum.softmax_entropy):
        for array in (a, a.tolist()):
            assert np.array_equal(function(array, axis=[0, -1]), function(a, axis=(0, -1)))
    for function in (lambda *x: logsum.logsumexp_value_and_grad(*x)[1], lambda *x: logsum.logsumexp_hvp(x[0], *x)):
        assert np.array_equal(function(a, [0, 2]), function(a, (0, 2)))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_segments(dtype):
    """By ids in any order and of any type, by offsets, with ids that are dropped: as each segment alone."""
    rng = np.random.default_rng(15)
    a = (5 * rng.normal(size=(3, 50, 2))).astype(dtype)
    for ids in (rng.integers(0, 6, 50), np.sort(rng.integers(0, 6, 50)).astype(np.uint8), rng.integers(-2, 8, 50).astype(np.int32)):
        call = dict(axis=1, num_segments=6, mode="drop")
        values, shares = logsum.segment_logsumexp(a, ids, **call), logsum.segment_softmax(a, ids, **call)
        assert values.shape == (3, 6, 2) and shares.shape == a.shape and values.dtype == shares.dtype == dtype
        for segment in range(6):
            chosen = a[:, ids == segment]
            assert np.array_equal(values[:, segment], logsum.logsumexp(chosen, 1))
            assert np.array_equal(shares[:, ids == segment], logsum.softmax(chosen, 1))
        assert (shares[:, (ids < 0) | (ids >= 6)] == 0).all()
    # Ids of 8 bits, and more segments than 8 bits can number.
    assert logsum.segment_logsumexp(np.array([0, 1], dtype), np.int8([0, -1]), 300, mode="drop").tolist() == [0, *[-np.inf] * 299]
    offsets = [0, 0, 20, 21, 50]
    ids = np.repeat(np.arange(4), np.diff(offsets))
    for function in (logsum.segment_logsumexp, logsum.segment_softmax):
        assert np.array_equal(function(a, axis=1, offsets=offsets), function(a, ids, 4, axis=1))
        assert function(np.empty((0, 2)), offsets=[0]).shape == (0, 2)
        assert function([], [], 3).shape == ((3,) if function is logsum.segment_logsumexp else (0,))
    assert logsum.segment_softmax([-np.inf, -np.inf, np.inf, np.inf, 1.0], [0, 0, 1, 1, 1]).tolist() == [0, 0, 0.5, 0.5, 0]


def test_ufuncs():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2, 3000)) * 30
    assert isinstance(logsum.logaddexp, np.ufunc)
    for i in range(0, 3000, 100):
        assert logsum.logaddexp(x, y)[i] == exact([x[i], y[i]])
        assert logsum.logsubexp(np.maximum(x, y), np.minimum(x, y))[i] == exact(
            [max(x[i], y[i]), min(x[i], y[i])], [1, -1]
        )
    np.testing.assert_allclose(logsum.logaddexp.reduce(x), logsum.logsumexp(x), rtol=1e-14)
    # A reduction of many numbers is rounded once for 65 536 of them.
    many = np.repeat(x, 100)
    np.testing.assert_array_max_ulp(logsum.logaddexp.reduce(many), logsum.logsumexp(many), 3)
    for part in (many[:5000], many[9000::-2], many[:5000].astype(np.float16)):
        assert logsum.logaddexp.reduce(part) == logsum.logsumexp(part)
    assert logsum.logaddexp.reduce(many[:5000], initial=99.5) == logsum.logsumexp([99.5, *many[:5000]])
    parts = [logsum.logsumexp(part) for part in (many[:5000], many[5000:10_000], many[10_000:60_000])]
    assert np.array_equal(logsum.logaddexp.reduceat(many[:60_000], [0, 5000, 10_000]), parts)
    np.testing.assert_allclose(logsum.logaddexp.accumulate(x), logsum.logcumsumexp(x), rtol=1e-13)
    assert logsum.logaddexp.identity == -np.inf and logsum.logsubexp.identity is None
    assert logsum.logaddexp.reduce([]) == -np.inf
    assert logsum.logaddexp.reduce([1.0, np.nan], where=[True, False]) == 1
    rows = x.reshape(30, 100)
    for axis in (0, 1):
        np.testing.assert_allclose(logsum.logaddexp.accumulate(rows, axis), logsum.logcumsumexp(rows, axis), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(logsum.logaddexp.reduce(rows, axis), logsum.logsumexp(rows, axis), rtol=1e-12, atol=1e-12)
    at = np.zeros(3)
    logsum.logaddexp.at(at, [0, 0, 2], [0.0, 1.0, 2.0])
    assert np.allclose(at, [exact([0, 0, 1]), 0, exact([0, 2])])
    out = np.full(3000, 7.0)
    assert logsum.logaddexp(x, y, out=out, where=x > 0) is out and (out[x <= 0] == 7).all()
    both = x.copy()
    assert np.array_equal(logsum.logaddexp(both, y, out=both), logsum.logaddexp(x, y))
    overlapping = np.arange(2000.0)
    expected = logsum.log1pexp(overlapping[:-1].copy())
    assert np.array_equal(logsum.log1pexp(overlapping[:-1], out=overlapping[1:]), expected)
    assert logsum.logistic(0.0) == 0.5 and logsum.xlogy(0.0, 0.0) == 0 and logsum.logit(0.5) == 0
    with pytest.raises(TypeError):
        logsum.logaddexp("a", 1.0)


UFUNCS = {
    # Whether it is correctly rounded, the function, and a part of its domain.
    "log1pexp": (True, lambda x: mpmath.log1p(mpmath.exp(x)), (-700, 700)),
    "log1mexp": (True, lambda x: mpmath.log(-mpmath.expm1(x)), (-700, -1e-3)),
    "logexpm1": (True, lambda x: mpmath.log(mpmath.expm1(x)), (1e-3, 700)),
    "log_logistic": (True, lambda x: -mpmath.log1p(mpmath.exp(-x)), (-700, 700)),
    "logistic": (False, lambda x: 1 / (1 + mpmath.exp(-x)), (-700, 40)),
    "logit": (False, lambda x: mpmath.log(x / (1 - x)), (1e-3, 0.999)),
    "xlogx": (False, lambda x: x * mpmath.log(x), (1e-3, 700)),
}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", UFUNCS)
def test_ufuncs_have_the_values_of_mpmath(name, dtype):
    is_nearest, f, (low, high) = UFUNCS[name]
    limit = 15 if dtype == np.float16 else 80 if dtype == np.float32 else 700
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.uniform(max(low, -limit), min(high, limit), 120), np.clip(rng.normal(size=60), low, high)])
    x = x.astype(dtype).reshape(4, 45)
    found = getattr(logsum, name)(x)
    assert found.shape == x.shape and found.dtype == dtype
    for x, found in zip(x.flat, found.flat):
        expected = f(mpmath.mpf(float(x)))
        error = abs(mpmath.mpf(float(found)) - expected) / mpmath.mpf(float(np.spacing(abs(dtype(expected)))))
        assert error <= (0.5001 if is_nearest else 1), (x, found, error)


def test_tangents_where_the_softmax_is_0_do_not_count():
    for z, slope in (([0.0, -np.inf], 1.0), ([-np.inf, -np.inf], 0.0), ([np.inf, 0.0], 1.0)):
        for t in (np.inf, np.nan):
            assert logsum.logsumexp_jvp(np.array(z), np.array([1.0, t]), 0)[1] == slope
            assert logsum.logsumexp_hvp(np.array(z), np.array([1.0, t]), 0).tolist() == [0, 0]


def test_derivatives_against_differences():
    rng = np.random.default_rng(3)
    a, t = rng.normal(size=(2, 4, 6))
    value, slope = logsum.logsumexp_jvp(a, t, axis=1)
    h = 1e-6
    numeric = (logsum.logsumexp(a + h * t, axis=1) - logsum.logsumexp(a - h * t, axis=1)) / (2 * h)
    assert np.array_equal(value, logsum.logsumexp(a, axis=1)) and np.allclose(slope, numeric, atol=1e-8)
    numeric = (logsum.softmax(a + h * t, axis=1) - logsum.softmax(a - h * t, axis=1)) / (2 * h)
    assert np.allclose(logsum.logsumexp_hvp(a, t, axis=1), numeric, atol=1e-8)


def test_family():
    rng = np.random.default_rng(4)
    a = rng.normal(size=(5, 40))
    assert np.allclose(logsum.logmeanexp(a, axis=1), np.log(np.exp(a).mean(1)))
    assert np.allclose(logsum.logvarexp(a, axis=1, ddof=1), np.log(np.exp(a).var(1, ddof=1)))
    p = logsum.softmax(a, axis=1)
    assert np.allclose(logsum.softmax_entropy(a, axis=1), -(p * np.log(p)).sum(1))
    assert np.allclose(logsum.logcumsumexp(a), np.log(np.cumsum(np.exp(a), 1)))
    assert np.allclose(logsum.logcumsumexp(a, axis=0, reverse=True), np.log(np.cumsum(np.exp(a)[::-1], 0)[::-1]))
    exclusive = logsum.logcumsumexp(a, exclusive=True)
    assert (exclusive[:, 0] == -np.inf).all() and np.array_equal(exclusive[:, 1:], logsum.logcumsumexp(a)[:, :-1])
    ids = rng.integers(0, 7, 5)
    segments = logsum.segment_logsumexp(a, ids, 8)
    assert segments.shape == (8, 40) and (segments[7] == -np.inf).all()
    for k in range(7):
        assert np.array_equal(segments[k], logsum.logsumexp(a[ids == k], axis=0))
    b = rng.normal(size=(2, 40, 3))
    product = logsum.log_matmul(a, b)
    assert product.shape == (2, 5, 3) and np.allclose(product, np.log(np.exp(a) @ np.exp(b)))
    assert np.allclose(logsum.log_matmul(a[0], b[0]), product[0, 0]) and logsum.log_matmul(a[0], a[0]).shape == ()


def test_token_log_probs():
    z = np.random.default_rng(31).normal(size=(4, 5, 7)) * 10
    tokens = np.random.default_rng(32).integers(0, 7, (4, 5))
    log_p = logsum.log_softmax(z, axis=-1)
    expected = np.take_along_axis(log_p, tokens[..., None], -1)[..., 0]
    np.testing.assert_array_equal(logsum.token_log_probs(z, tokens), expected)
    np.testing.assert_array_equal(logsum.token_log_probs(np.moveaxis(z, -1, 1), tokens, axis=1), expected)
    np.testing.assert_array_equal(logsum.token_log_probs(np.asfortranarray(z), tokens.astype(np.uint8)), expected)
    np.testing.assert_array_equal(logsum.token_log_probs(z[1:3, ::2], tokens[1:3, ::2]), expected[1:3, ::2])
    both = logsum.token_log_probs(z, tokens, entropy=True)
    np.testing.assert_array_equal(both[0], expected)
    np.testing.assert_array_equal(both[1], logsum.softmax_entropy(z, axis=-1))
    # The nearest float32 for float16 scores: the float64 result rounded, except for ties.
    half = z.astype(np.float16)
    single = logsum.token_log_probs(half, tokens, dtype=np.float32)
    assert single.dtype == np.float32 and logsum.token_log_probs(half, tokens).dtype == np.float16
    np.testing.assert_array_equal(single, logsum.token_log_probs(half.astype(np.float64), tokens).astype(np.float32))
    assert logsum.token_log_probs([40.0, 0.0], 0) == -4.248354255291589e-18
    assert logsum.token_log_probs(np.empty((0, 3)), np.empty(0, int)).shape == (0,)
    with pytest.raises(ValueError, match="the token of row 1 is -1, but must be from 0 to below 3, the length of the row"):
        logsum.token_log_probs(np.zeros((2, 3)), [0, -1])
    with pytest.raises(ValueError, match="the token of row 0 is 3, but must be below 3, the length of the row"):
        logsum.token_log_probs(np.zeros((2, 3)), [3, 0])
    with pytest.raises(ValueError, match=r"tokens has the shape \(3,\), it must be \(2,\), that of logits without axis -1"):
        logsum.token_log_probs(np.zeros((2, 3)), [0, 1, 2])
    with pytest.raises(TypeError, match="tokens are float64, they must be integers"):
        logsum.token_log_probs(np.zeros((2, 3)), [0.0, 1.0])
    with pytest.raises(TypeError, match="logits is of float64, which float32 would round"):
        logsum.token_log_probs(np.zeros((2, 3)), [0, 1], dtype=np.float32)
    with pytest.raises(np.exceptions.AxisError):
        logsum.token_log_probs(np.zeros((2, 3)), [0, 1], axis=2)
    with pytest.raises(ValueError, match="logits must have an axis of scores"):
        logsum.token_log_probs(1.0, 0)


def test_cross_entropy():
    rng = np.random.default_rng(5)
    z, labels = rng.normal(size=(6, 4)), np.array([0, 1, -100, 3, 2, 2])
    each = -logsum.log_softmax(z, axis=1)[range(6), np.where(labels < 0, 0, labels)] * (labels >= 0)
    assert np.allclose(logsum.cross_entropy(z, labels, reduction="none"), each)
    assert np.isclose(logsum.cross_entropy(z, labels), each.sum() / 5)
    q = rng.dirichlet(np.ones(4), 6)
    assert np.isclose(logsum.cross_entropy(z.T, q.T, axis=0), -(q * logsum.log_softmax(z, axis=1)).sum(1).mean())
    assert logsum.cross_entropy([[40.0, 0.0]], [0]) == 4.248354255291589e-18
    assert np.isnan(logsum.cross_entropy(z, np.full(6, -100)))
    for label, says in ((4, "is 4, but must be below 4"), (-4, "is -4, but must be from 0 to below 4")):
        with pytest.raises(ValueError, match=f"the target of row 1 {says}, the number of classes"):
            logsum.cross_entropy(z, np.array([0, label, 0, 0, 0, 0]))
    with pytest.raises(ValueError, match="`weight` has 3 elements, but needs 4 to fit `classes`"):
        logsum.cross_entropy(z, labels, np.ones(3))
    with pytest.raises(ValueError, match="label_smoothing is 1.5, it must be between 0 and 1"):
        logsum.cross_entropy(z, labels, label_smoothing=1.5)
    with pytest.raises(ValueError, match="reduction"):
        logsum.cross_entropy(z, labels, reduction="average")


@pytest.mark.parametrize(
    "call, error, says",
    [
        (lambda: logsum.logsumexp(np.zeros((2, 3)), axis=2), np.exceptions.AxisError, "axis 2 is out of bounds"),
        (lambda: logsum.logsumexp(np.zeros((2, 3)), axis=10**30), np.exceptions.AxisError, "out of bounds"),
        (lambda: logsum.logsumexp(np.zeros((2, 3)), axis=(0, 0)), ValueError, "twice"),
        (lambda: logsum.logsumexp(np.zeros((2, 3)), axis=1.0), TypeError, "integer"),
        (lambda: logsum.logsumexp(np.zeros((2, 3)), axis="x"), TypeError, "integer"),
        (lambda: logsum.logsumexp("abc"), TypeError, "numbers"),
        (lambda: logsum.logsumexp(None), TypeError, "numbers"),
        (lambda: logsum.logsumexp([None, 1]), TypeError, "numbers"),
        (lambda: logsum.logsumexp([object()]), TypeError, "numbers"),
        (lambda: logsum.logsumexp(np.array(["2020"], "M8")), TypeError, "numbers"),
        (lambda: logsum.logsumexp(np.ma.array([1.0], mask=[True])), TypeError, "where"),
        (lambda: logsum.softmax(np.matrix([[1.0]])), TypeError, "matrix"),
        (lambda: logsum.logsumexp(np.zeros(3), b=np.zeros(2)), ValueError, "broadcast"),
        (lambda: logsum.logsumexp(np.zeros(3), where=[1.0, 0.0, 1.0]), TypeError, "booleans"),
        (lambda: logsum.logsumexp(), TypeError, "argument"),
        (lambda: logsum.logsumexp([[1.0], [1.0, 2.0]]), ValueError, "shape"),
        (lambda: logsum.logcumsumexp([1.0], axis=1), np.exceptions.AxisError, "out of bounds"),
        (lambda: logsum.logvarexp([1.0], ddof=-1), ValueError, "ddof"),
        (lambda: logsum.segment_logsumexp([1.0, 2.0], [0.5, 1.0]), TypeError, "integers"),
        (lambda: logsum.segment_logsumexp([1.0, 2.0], [0, -1]), ValueError, "segment_ids has -1 at 1, it must be from 0 to below 1"),
        (lambda: logsum.segment_logsumexp([1.0, 2.0], [0, 5], 3), ValueError, "segment_ids has 5 at 1, it must be from 0 to below 3"),
        (lambda: logsum.segment_logsumexp([1.0, 2.0], [0]), ValueError, r"segment_ids has the shape \(1,\), it must be \(2,\)"),
        (lambda: logsum.segment_softmax([1.0, 2.0], [[0, 1]]), ValueError, r"segment_ids has the shape \(1, 2\), it must have one"),
        (lambda: logsum.segment_softmax([1.0, 2.0]), TypeError, "either segment_ids or offsets must be given"),
        (lambda: logsum.segment_softmax([1.0, 2.0], [0, 1], offsets=[0, 2]), TypeError, "either segment_ids or offsets"),
        (lambda: logsum.segment_softmax([1.0, 2.0], offsets=[0, 1]), ValueError, "offsets must start at 0, never go down, and end at 2"),
        (lambda: logsum.segment_softmax([1.0, 2.0], offsets=[0, 2, 1, 2]), ValueError, "offsets must start at 0, never go down"),
        (lambda: logsum.segment_softmax([1.0, 2.0], num_segments=1, offsets=[0, 2]), TypeError, "num_segments goes with segment_ids"),
        (lambda: logsum.segment_softmax([1.0, 2.0], [0, 1], mode="clip"), ValueError, "mode is 'clip', it must be 'raise' or 'drop'"),
        (lambda: logsum.segment_softmax([1.0, 2.0], [0, 1], axis=1), np.exceptions.AxisError, "out of bounds"),
        (lambda: logsum.segment_softmax([1.0, 2.0], [0, 1], -3), ValueError, "num_segments is -3"),
        (lambda: logsum.softmax([1.0], dtype=np.int32), TypeError, "numbers are needed|floating-point"),
        (lambda: logsum.softmax(np.zeros(2), dtype=np.float32), TypeError, "x is of float64, which float32 would round"),
        (lambda: logsum.softmax(np.zeros(2), out=np.zeros(3)), ValueError, r"out has the shape \(3,\), the result has \(2,\)"),
        (lambda: logsum.softmax(np.zeros(2), out=np.zeros(2, int)), TypeError, "out is of int64, which cannot hold"),
        (lambda: logsum.logmeanexp(np.zeros(2), out=[0.0]), TypeError, "out must be a numpy.ndarray, not list"),
        (lambda: logsum.log_matmul(np.zeros((2, 3)), np.zeros((2, 3))), ValueError, "`b` has the shape .2, 3., but needs .3, 3."),
        (lambda: logsum.log_matmul(1.0, 2.0), ValueError, "scalar"),
        (lambda: logsum.logsumexp_value_and_grad([1.0], no_mass="half"), ValueError, "no_mass"),
        (lambda: logsum.logsumexp_value_and_grad([1j]), TypeError, "real"),
        (lambda: logsum.token_log_probs([1j], 0), TypeError, "logits must be real numbers, not complex128"),
        (lambda: logsum.token_log_probs([1.0], 0, dtype=complex), TypeError, "logits must be real numbers"),
    ],
)
def test_bad_arguments(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_many_threads_at_once():
    a = np.random.default_rng(6).normal(size=(300, 1000))
    expected = logsum.logsumexp(a, axis=1)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for value in pool.map(lambda _: logsum.logsumexp(a, axis=1), range(200)):
            assert np.array_equal(value, expected)


ROWS = logsum.log_softmax(np.random.default_rng(7).normal(size=(4096, 256)), axis=1)


@pytest.mark.parametrize(
    "work",
    [
        lambda: logsum.logsumexp(ROWS, axis=1),
        # Few or no numbers, and many results.
        lambda: logsum.segment_logsumexp([0.0], [0], 10**6),
        lambda: logsum.segment_softmax([0.0], [0], 10**6),
        lambda: logsum.logsumexp(np.empty((10**6, 0)), axis=1),
        lambda: logsum.logsumexp_value_and_grad(np.empty((10**6, 0)), axis=1),
        lambda: logsum.logmeanexp(np.empty((10**6, 0)), axis=1),
        lambda: logsum.log_matmul(np.empty((3000, 0)), np.empty((0, 3000))),
    ],
)
def test_other_threads_run_during_a_call(work):
    """Where a thread keeps the interpreter until it lets go of it, another one runs during a call only if the call lets go."""
    is_called, is_seen = False, threading.Event()

    def call():
        nonlocal is_called
        for _ in range(100):
            is_called = True
            work()
            is_called = False
            if is_seen.is_set():
                break

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        thread = threading.Thread(target=call)
        thread.start()
        while thread.is_alive() and not is_called:
            time.sleep(0)
        if is_called:
            is_seen.set()
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert is_seen.is_set()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no resource usage")
def test_nothing_leaks():
    import resource

    a, b = np.arange(10.0), [1.0, 2.0]
    calls = (
        lambda: logsum.logsumexp(a),
        lambda: logsum.softmax(a),
        lambda: logsum.logaddexp(a, a),
        lambda: pytest.raises(ValueError, logsum.logsumexp, a, (0, 0)),
        lambda: logsum.logsumexp_value_and_grad(b),
    )
    counts = (300_000, 300_000, 300_000, 5_000, 95_000)
    for call in calls:
        for _ in range(2000):
            call()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for call, count in zip(calls, counts):
        for _ in range(count):
            call()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 * 1024


LONG_CALLS = {
    # Rows that need triple-doubles, contiguous and as columns, and one very long row.
    "rows": "logsum.logsumexp(numpy.broadcast_to(row, (n, 256)), 1)",
    "columns": "logsum.logsumexp(numpy.broadcast_to(row[:, None], (256, n)), 0)",
    "row": "logsum.logsumexp(numpy.broadcast_to(0.5, n))",
    "weights": "logsum.logsumexp(numpy.broadcast_to(row, (n, 256)), 1, b=numpy.broadcast_to(-row, (n, 256)))",
    "mean": "logsum.logmeanexp(numpy.broadcast_to(row, (n, 256)), 1)",
    "variance": "logsum.logvarexp(numpy.broadcast_to(row, (n, 256)), 1)",
    "scan": "logsum.logcumsumexp(numpy.arange(1, n) * -math.log(2))",
    "product": "logsum.log_matmul(*[numpy.zeros((int(n ** (1 / 3)),) * 2)] * 2)",
    "ufunc": "logsum.logaddexp.reduce(numpy.broadcast_to(0.5, n))",
    # Many loops, one after another.
    "loops": "logsum.logaddexp.reduce(numpy.broadcast_to(0.5, (n, 100)), 1)",
}


@pytest.mark.parametrize("call", LONG_CALLS.values(), ids=LONG_CALLS)
def test_interrupts_are_heard(call):
    """Ctrl-C during a call that would take some seconds is heard at once: it says 0.2 s, and this waits for a busy machine."""
    code = f"""
import math, numpy, logsum, os, signal, threading, time
# A shell that runs the tests in the background has them ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
row = logsum.log_softmax(numpy.random.default_rng(1).normal(size=256))

def seconds(n):
    start = time.perf_counter()
    {call}
    return time.perf_counter() - start

n, sent = 1000, []
while (taken := seconds(n)) < 0.05:
    n *= 2

def interrupt():
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)

threading.Timer(0.3, interrupt).start()
try:
    seconds(int(n * 4 / taken))
    print("done")
except KeyboardInterrupt:
    print(time.perf_counter() - sent[0])
# After an interrupt, calls work as before.
assert logsum.logsumexp(numpy.zeros(2)) == math.log(2)
"""
    heard = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True).stdout
    print("heard after", heard.strip(), "s")
    assert float(heard) < 1.5


def test_interrupts_between_calls_are_heard():
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import numpy, logsum\na = numpy.zeros(1 << 20)\nprint('ready', flush=True)\n"
        "while True: logsum.logsumexp(a)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate(timeout=20)[1]


@pytest.mark.parametrize("axis", [0, 1, (0, 2), (1, 2), None])
def test_large_arrays_go_by_parts(axis):
    a = np.random.default_rng(1).standard_normal((5, 700, 1001)).astype(np.float32)
    axes = {0: (0,), 1: (1,), None: (0, 1, 2)}.get(axis, axis)
    small = np.moveaxis(a, axes, range(len(axes))).reshape(math.prod(a.shape[i] for i in axes), -1)
    values = np.array([logsum.logsumexp(column) for column in small.T]).reshape([n for i, n in enumerate(a.shape) if i not in axes])
    for a in (a, a[:, ::-1], np.asfortranarray(a)):
        is_turned = a.strides[1] < 0 and 1 not in axes
        expected = np.flip(values, 0 if 0 in axes else 1) if is_turned else values
        np.testing.assert_array_equal(logsum.logsumexp(a, axis), expected)
        kept, gradient = logsum.logsumexp_value_and_grad(a, axis, keepdims=True)
        np.testing.assert_array_equal(kept, np.expand_dims(expected, axes))
        np.testing.assert_array_equal(gradient, logsum.softmax(a, axis))
        np.testing.assert_allclose(gradient, np.exp(logsum.log_softmax(a, axis)), rtol=1e-5)


def test_import_is_light():
    code = "import sys, numpy; before = set(sys.modules); import logsum; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "logsum._core" in loaded and len(loaded) < 20, loaded
    assert not {"torch", "jax", "scipy"} & {name.split(".")[0] for name in loaded}


def test_examples_in_the_documentation():
    runner = doctest.DocTestRunner()
    for name in logsum.__all__:
        function = getattr(logsum, name)
        assert name == "__version__" or function.__doc__, name
        example = doctest.DocTestParser().get_doctest(function.__doc__ or "", {}, name, None, None)
        assert runner.run(example).failed == 0, name


def test_types_are_right(tmp_path):
    type_checks.check_calls("typed.py")
    type_checks.check_stubs(logsum, tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_complaints_are_clear():
    """Every argument of every function is tried with the wrong type, shape, length and dtype."""
    assert list(complaints(logsum, np.asarray)) == []


def test_nothing_has_parts_of_what_counts():
    """By weights as by numbers: what is masked, or has weight 0, has none."""
    inf = np.inf
    for mask, parts in ((None, [0.5, 0.5, 0]), ([True, False, True], [1, 0, 0])):
        for no_mass, factor in (("uniform", 1), ("nan", np.nan), ("zero", 0)):
            call = dict(b=[1.0, 2.0, 0.0], where=mask, no_mass=no_mass)
            expected = np.where(np.array(parts) == 0, 0, np.array(parts) * factor)
            for gradient in logsum.logsumexp_value_and_grad([-inf, -inf, 3.0], **call)[1]:
                np.testing.assert_array_equal(gradient, expected)
    for axis in (1, (1,), [1], -1):
        found = logsum.logsumexp_value_and_grad([[0.0, 1.0], [2.0, 3.0]], axis, b=[[0.0, 0.0], [1.0, 0.0]], no_mass="uniform")[1][1]
        np.testing.assert_array_equal(found, [[0, 0], [1, np.exp(1)]])


def test_softmax_of_complex_numbers():
    inf, log_half = np.inf, -0.6931471805599453
    for x, logs in (
        ([1e17, 1e17], [log_half, log_half]),
        ([40.0, 0.0], [-4.248354255291589e-18, -40.0]),
        ([-inf, -inf], [-inf, -inf]),
        ([inf, 1.0], [0.0, -inf]),
        ([inf, 1.0, inf], [log_half, -inf, log_half]),
        ([1e308, -1e308], [0.0, -inf]),
    ):
        for x in (np.array(x, complex), np.array([x, x], complex).T):
            found = logsum.log_softmax(x, axis=0)
            np.testing.assert_allclose(found.T, np.broadcast_to(logs, x.T.shape), rtol=1e-15)
            np.testing.assert_array_equal(logsum.softmax(x, axis=0), np.exp(found))
    x = np.array([0.3 + 1j, -0.2 + 2j, 0.1 - 3j])
    np.testing.assert_allclose(logsum.softmax(x), np.exp(x) / np.exp(x).sum(), rtol=1e-14)


def test_a_number_is_as_good_as_an_array_of_one():
    for axis in (None, 0, -1):
        assert logsum.softmax(3.0, axis=axis) == logsum.softmax(3, axis=axis) == logsum.softmax(3j, axis=axis) == 1
        assert logsum.log_softmax(3.0, axis=axis) == 0 and np.shape(logsum.log_softmax(3.0, axis=axis)) == ()
    for x in (3.0, np.float64(3.0), np.array(3.0)):
        assert np.shape(logsum.logcumsumexp(x)) == () and logsum.logcumsumexp(x) == 3


def test_masked_arrays_are_refused_in_lists():
    masked = np.ma.array([1.0, 2.0], mask=[False, True])
    for wrong in ([masked, masked], [[masked]], (masked,), [1.0, np.ma.masked]):
        for call in (logsum.logsumexp, logsum.softmax, logsum.logcumsumexp, lambda x: logsum.logsumexp([0.0, 1.0], b=x)):
            with pytest.raises(TypeError, match="a masked array: give its data, and where=~mask"):
                call(wrong)


def test_class_weights_count_as_they_are():
    """They are not rounded to the scores' format: the result has the common one, as with weights of numbers."""
    value = logsum.cross_entropy(np.float16([[0, 1], [0, 2]]), [0, 1], np.array([1e-8, 1e-7]))
    assert value.dtype == np.float64 and np.isclose(value, 0.23477652708617708, rtol=1e-15)
    value = logsum.cross_entropy(np.float32([[0, 1]]), [0], np.float32([0.25, 0.5]), reduction="sum")
    assert value.dtype == np.float32
