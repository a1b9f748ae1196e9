"""Sums in pieces: the same bytes in whatever order and parts, and the values of the functions that have all numbers at once."""

import copy
import pickle
import threading

import numpy as np
import pytest

import logsum
from logsum import Accumulator, EffectiveSampleSize, WeightedMean

DTYPES = [np.float64, np.float32, np.float16]


def rows(count=40):
    random = np.random.default_rng(7)
    for _ in range(count):
        length = random.integers(1, 300)
        yield random.choice([0.0, -3000.0, 1e6]) + random.choice([1.0, 30.0, 1000.0]) * random.standard_normal(length)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bytes_do_not_depend_on_order_or_parts(dtype):
    random = np.random.default_rng(1)
    for z in rows():
        with np.errstate(over="ignore"):
            z = z.astype(dtype)
        whole = Accumulator(dtype).update(z)
        random.shuffle(z)
        parts = np.array_split(z, random.integers(1, 7))
        merged = Accumulator(dtype)
        for part in parts:
            merged.merge(Accumulator(dtype).update(part))
        ones = Accumulator(dtype)
        for x in z:
            ones.update(x)
        assert bytes(merged) == bytes(whole) == bytes(ones)
        assert merged == whole
        assert whole.count == len(z)
        assert whole.max == z.max()
        assert whole.value.dtype == dtype
        if whole.proved:
            assert whole.value == logsum.logsumexp(z)


def test_narrow_numbers_that_lie_far_apart():
    z = np.float32([0, -60, -60, -60, -60])
    parts = Accumulator(np.float32)
    for x in z:
        parts.update(x)
    assert parts == Accumulator(np.float32).update(z)
    assert parts.value == logsum.logsumexp(z)


def test_values():
    unproved = 0
    for z in rows(300):
        sum = Accumulator().update(z)
        unproved += not sum.proved
        assert sum.value == logsum.logsumexp(z)
        assert sum.logmeanexp == logsum.logmeanexp(z)
        b = np.exp(np.sin(z))
        assert Accumulator().update(z, b).value == logsum.logsumexp(z, b=b)
        w = np.exp((z - z.max()).astype(np.longdouble))
        assert np.isclose(EffectiveSampleSize().update(z).value, float(w.sum() ** 2 / (w**2).sum()), rtol=1e-14)
        mean = WeightedMean().update(z, b)
        assert np.isclose(mean.value, float((w * b).sum() / w.sum()), rtol=1e-14)
    assert unproved == 0


def test_edges():
    assert Accumulator().value == -np.inf
    assert np.isnan(Accumulator().logmeanexp)
    assert Accumulator().update([-np.inf, -np.inf]).value == -np.inf
    assert Accumulator().update([np.inf, 1.0]).value == np.inf
    assert np.isnan(Accumulator().update([np.nan, 1.0]).value)
    assert np.isnan(Accumulator().update([np.nan, 1.0]).max)
    sum = Accumulator().update([np.nan, 2.0], [0.0, 1.0])
    assert (sum.value, sum.count, sum.proved) == (2.0, 1, True)
    assert np.isnan(EffectiveSampleSize().value)
    assert np.isnan(WeightedMean().value)
    assert Accumulator().update([]).count == 0


def test_what_is_taken():
    z = np.arange(12.0).reshape(3, 4)
    expected = Accumulator().update(z.ravel())
    for same in [z.T, z[:, ::-1], np.asfortranarray(z), z.astype(">f8"), z.astype(np.float32), z.astype(int), z.tolist(), z.astype(bool) * 0 + z]:
        assert Accumulator().update(same) == expected
    assert Accumulator().update(3).update(np.float64(4)) == Accumulator().update([3.0, 4.0])
    assert Accumulator().update(z, 2.0) == Accumulator().update(z, np.full(4, 2.0))
    padded = np.zeros(1 + z.nbytes, dtype=np.uint8)[1:].view(np.float64)
    padded[:] = z.ravel()
    assert not padded.flags.aligned and Accumulator().update(padded) == expected
    assert Accumulator(">f8").update(z) == expected
    narrow = z.astype(np.float32)
    assert Accumulator(np.float32).update(narrow, 0.1) == Accumulator(np.float32).update(narrow, np.full(4, np.float32(0.1)))
    torch = pytest.importorskip("torch")
    assert Accumulator().update(torch.as_tensor(z)) == expected
    with pytest.raises(TypeError, match="a is differentiated by torch, but a state has no derivatives: give a.detach()"):
        Accumulator().update(torch.ones(2, requires_grad=True))
    with torch.autograd.forward_ad.dual_level(), pytest.raises(TypeError, match="a is differentiated by torch"):
        Accumulator(np.float32).update(torch.autograd.forward_ad.make_dual(torch.ones(2), torch.ones(2)))


def test_what_is_refused():
    sum = Accumulator(np.float32)
    with pytest.raises(TypeError, match="a has dtype float64, which float32 does not hold: convert it"):
        sum.update(np.ones(3))
    with pytest.raises(TypeError, match="a has dtype complex128, but must be of real numbers"):
        Accumulator().update(np.ones(3, dtype=complex))
    for words in [np.array(["a"]), ["1.5"], [np.datetime64("2020-01-01")], [None, 1.0]]:
        with pytest.raises(TypeError, match="a must be numbers, not"):
            Accumulator().update(words)
    masked = np.ma.array([1.0, 1000.0], mask=[0, 1])
    for call in [
        lambda: Accumulator().update(masked),
        lambda: Accumulator().update([masked]),
        lambda: Accumulator().update([1.0, 2.0], masked),
        lambda: EffectiveSampleSize().update(masked),
        lambda: WeightedMean().update([1.0, 2.0], masked),
    ]:
        with pytest.raises(TypeError, match="a masked array: give its data"):
            call()
    with pytest.raises(ValueError, match=r"b has the shape \(2,\), which does not broadcast to \(3,\), that of a"):
        Accumulator().update([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="a has 9007199254740993, which float64 would round"):
        Accumulator().update(np.array([2**53 + 1]))
    with pytest.raises(TypeError, match="a has dtype float64, which float32 does not hold"):
        sum.update([np.array([0.1])])
    with pytest.raises(ValueError, match="b has 1e-60, which is out of the range of float32"):
        sum.update([0.0], [1e-60])
    with pytest.raises(ValueError, match="a has 1e.60, which is out of the range of float32"):
        sum.update(1e60)
    with pytest.raises(TypeError, match="dtype must be float64, float32, float16 or bfloat16, not <class 'int'>"):
        Accumulator(int)
    with pytest.raises(ValueError, match="broadcast"):
        Accumulator().update(np.ones(3), np.ones(2))
    with pytest.raises(TypeError, match="dtypes differ: float32 and float64"):
        sum.merge(Accumulator())
    with pytest.raises(TypeError, match="only another Accumulator can be merged, not EffectiveSampleSize"):
        Accumulator().merge(EffectiveSampleSize())
    assert sum == Accumulator(np.float32)


@pytest.mark.parametrize("kind", [Accumulator, EffectiveSampleSize, WeightedMean])
@pytest.mark.parametrize("dtype", DTYPES)
def test_copies_and_bytes(kind, dtype):
    state = kind(dtype)
    numbers = np.array([1.0, 2.5, -3.0], dtype=dtype)
    state.update(*([numbers, numbers] if kind is WeightedMean else [numbers]))
    for same in [
        copy.copy(state),
        copy.deepcopy(state),
        pickle.loads(pickle.dumps(state)),
        kind.from_bytes(bytes(state), dtype),
        kind.from_bytes(memoryview(bytes(state)), dtype),
    ]:
        assert same == state and same is not state
        same.merge(state)
        assert same != state
    assert len(bytes(state)) == (112 if kind is Accumulator else 224)
    with pytest.raises(ValueError, match="these bytes are not a state"):
        kind.from_bytes(bytes(state)[:-1], dtype)
    with pytest.raises(ValueError, match="these bytes are not a state: (a state begins with LSE1|the state is of another kind)"):
        kind.from_bytes(bytes(len(bytes(state))), dtype)
    other = np.float32 if dtype is np.float64 else np.float64
    with pytest.raises(ValueError, match=f"the state is of f{np.dtype(dtype).itemsize * 8}, another format"):
        kind.from_bytes(bytes(state), other)
    with pytest.raises(TypeError, match="unhashable"):
        hash(state)
    for other in {EffectiveSampleSize, WeightedMean} - {kind}:
        with pytest.raises(ValueError, match="these bytes are not a state"):
            other.from_bytes(bytes(state), dtype)


def test_a_state_merged_with_itself():
    state = Accumulator().update([1.0, 2.0])
    assert state.merge(state) == Accumulator().update([1.0, 2.0, 1.0, 2.0])


def test_threads_share_a_state():
    z = np.random.default_rng(3).standard_normal((8, 50_000))
    state = Accumulator()
    threads = [threading.Thread(target=lambda row=row: [state.update(part) for part in np.split(row, 10)]) for row in z]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state == Accumulator().update(z)


class Slotted(Accumulator):
    __slots__ = ("name",)


def test_subclasses_stay_what_they_are():
    class Mine(Accumulator):
        pass

    state = Mine().update([1.0])
    state.name = "chain 1"
    for same in [state.copy(), copy.deepcopy(state)]:
        assert type(same) is Mine and same == state and same.name == "chain 1"
    state = Slotted().update([1.0])
    state.name = ["chain 1"]
    for same in [state.copy(), copy.deepcopy(state), pickle.loads(pickle.dumps(state))]:
        assert type(same) is Slotted and same == state and same.name == ["chain 1"]
    assert copy.deepcopy(state).name is not state.name
    assert state != Accumulator().update([1.0])
