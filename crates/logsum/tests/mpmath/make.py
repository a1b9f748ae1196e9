"""Makes f32.txt and f64.txt beside it: rows of numbers with their exact log-sum-exp, softmax and log-softmax.

Run: python3 make.py        (needs mpmath, 1.3 or later)

A line is

    regime | z | value | softmax | log-softmax

with z and the value (correctly rounded) as hexadecimal floats, and each softmax and log-softmax as hi:lo:e, which is
(hi + lo) * 2^e to about 100 bits, so that an error can be measured in fractions of an ulp, subnormal ones too.
A long row is a recipe instead of numbers, @seed,n,k: z_i = ((splitmix64 >> 40) - 2^23) * 2^k, and its softmax and
log-softmax are given at some indices only, as index=hi:lo:e.
"""

import os
import random
from fractions import Fraction

import mpmath
from mpmath import mp, mpf

# Bits of the significand; the exponent of the least number.
FORMATS = {"f64": (53, -1074), "f32": (24, -149)}


def fraction(x):
    """An mpf, exactly."""
    sign, man, exp, _ = x._mpf_
    value = Fraction(int(man)) * Fraction(2) ** exp
    return -value if sign else value


def floor_log2(x):
    """The exponent of a positive fraction."""
    e = x.numerator.bit_length() - x.denominator.bit_length()
    return e if Fraction(2) ** e <= x else e - 1


def nearest(x, name):
    """The float of this format nearest to a fraction, ties to even, as a Python float (which holds both formats)."""
    precision, least = FORMATS[name]
    if x == 0:
        return 0.0
    grid = max(floor_log2(abs(x)) - precision + 1, least)
    scaled = abs(x) / Fraction(2) ** grid
    whole, rest = divmod(scaled.numerator, scaled.denominator)
    twice = 2 * rest
    if twice > scaled.denominator or (twice == scaled.denominator and whole % 2):
        whole += 1
    value = Fraction(whole) * Fraction(2) ** grid
    return float(value if x > 0 else -value)


def row(z, name):
    """Numbers, rounded to the format."""
    return [x if x == float("-inf") else nearest(Fraction(x), name) for x in z]


def above(x, name):
    """The next float up in its format. Half a step finds it where the spacing halves, towards 0 from a power of 2."""
    precision, least = FORMATS[name]
    x = Fraction(x)
    ulp = Fraction(2) ** (max(floor_log2(abs(x)) - precision + 1, least) if x else least)
    half = Fraction(nearest(x + ulp / 2, name))
    return float(half) if half > x and half == x + ulp / 2 else nearest(x + ulp, name)


def below(x, name):
    return -above(-x, name)


def pair(x):
    """hi:lo:e of an mpf."""
    if x == 0:
        return "0x0p+0:0x0p+0:0"
    e = int(mpmath.frexp(x)[1])
    x = mpmath.ldexp(x, -e)
    hi = float(x)
    lo = float(x - mpf(hi))
    # Below 2^-9999 all that counts is that it is next to nothing.
    return f"{hi.hex()}:{lo.hex()}:{max(e, -9999)}"


def exact(z, name):
    """The rounded value, and softmax and log-softmax in many bits (None for the logarithm of 0)."""
    numbers = [mpf(x) for x in z]
    finite = sorted(x for x in numbers if mpmath.isfinite(x))
    top = finite.pop()
    for precision in (300, 1000, 4000, 16000):
        with mp.workprec(precision):
            tail = mpmath.fsum(mpmath.exp(x - top) for x in finite)
            log = mpmath.log1p(tail)
            slack = log * mpf(2) ** (40 - precision)
            with mp.workprec(40_000):
                # A logarithm below 2^-5000 only has to be positive.
                least = mpf(2) ** -5000
                ends = (top + log - slack, top + log + slack) if log > least else (top, top + least)
                low, high = (nearest(fraction(end), name) for end in (ends if finite else (top, top)))
            if low != high:
                continue
            softmax = [mpmath.exp(x - top) / (1 + tail) if mpmath.isfinite(x) else mpf(0) for x in numbers]
            log_softmax = [x - top - log if mpmath.isfinite(x) else None for x in numbers]
            return low, softmax, log_softmax
    raise ValueError(f"16000 bits do not settle {z}")


def half_way(y, name, closeness, is_above):
    """A row whose log-sum-exp is within 2^-closeness ulp of half-way between y and the float above it.

    Term after term takes the largest float whose exponential still fits below the midpoint's; the last one decides
    the side.
    """
    precision, _ = FORMATS[name]
    with mp.workprec(precision + closeness + 300):
        midpoint = (mpf(y) + mpf(above(y, name))) / 2
        whole = rest = mpmath.exp(midpoint)
        z = []
        while rest >= whole * mpf(2) ** -(precision + closeness + 8):
            x = nearest(fraction(mpmath.log(rest)), name)
            while mpmath.exp(mpf(x)) >= rest:
                x = below(x, name)
            if not z:
                x = nearest(Fraction(x) - Fraction(1, 3), name)
            z.append(x)
            rest -= mpmath.exp(mpf(x))
        if is_above:
            z[-1] = above(z[-1], name)
        return z


def recipe(seed, n, k):
    mask = (1 << 64) - 1
    state, z = seed, []
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) & mask
        x = state
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
        z.append((((x ^ (x >> 31)) >> 40) - (1 << 23)) * 2.0**k)
    return z


def ln(x):
    return float(mpmath.log(mpf(x)))


def rows(name):
    """Regime and row, for every row that is given by its numbers."""
    rng = random.Random(20261123)
    precision, least = FORMATS[name]
    inf, tiny = float("inf"), 2.0**least
    known = [
        [0, -40], [-ln(2), -ln(2)], [ln(0.3), ln(0.7)], [ln(1e-20), -1e-20], [0, -100], [0, -170], [0, -700],
        [0, -740], [0, -745.13], [0, -746], [0, -1000], [0, -1e9], [-1e-320, -800], [0, -1e-300], [0, -87], [0, -103.5],
        [0, -104.2], [1000, 1000], [1000, 1001, 1002], [-1000, -1001], [1e8, 1e8], [0, 0], [0, 0, 0], [1, -1e30],
    ]  # fmt: skip
    yield from (("known", z) for z in known)
    for z in [[2.5], [-7.25], [tiny], [-tiny], [1e30], [-inf, 3, -inf], [-inf, 0, -inf, -1, -inf]]:
        yield "single and absent", z
    for n in (2, 3, 5, 7, 10, 17):
        for z in (0.0, 1e8, -3.25, 1e-30, -1e30):
            yield "ties", [z] * n
    yield "ties", [1.5, 1.5, 1.5, -2, -2]
    for spread in (1, 30, 200, 1400):
        for _ in range(12):
            yield "wide", [rng.uniform(-spread, spread) for _ in range(rng.randint(2, 9))]
    for e in (-1, -10, -20, -30, -45, -60):
        for offset in (0.0, 0.7, -20.0):
            yield "narrow", [offset + rng.uniform(-1, 1) * 2.0**e for _ in range(rng.randint(2, 7))]
    for _ in range(40):
        z = [rng.uniform(-9, 9) for _ in range(rng.randint(2, 8))]
        with mp.workprec(300):
            lse = mpmath.log(mpmath.fsum(mpmath.exp(mpf(x)) for x in z))
            yield "normalised", [float(mpf(x) - lse) for x in z]
    for _ in range(12):
        yield "subnormal numbers", [tiny * rng.randint(-9, 9) for _ in range(rng.randint(1, 5))]
    deep = -103 if name == "f32" else -744
    for _ in range(16):
        yield "subnormal results", [0.0] + [deep + rng.uniform(-3, 15) for _ in range(rng.randint(1, 4))]
    largest = (2 - Fraction(2) ** (1 - precision)) * Fraction(2) ** (127 if name == "f32" else 1023)
    for z in ([largest, largest], [-largest, -largest], [largest, largest / 4], [largest, 0, -1]):
        yield "enormous", z
    for size in (1e6, 1e8, 1e15, 9e15, 1e30) + ((1e300,) if name == "f64" else ()):
        for _ in range(4):
            z = row([rng.choice((-1, 1)) * size], name)
            for _ in range(rng.randint(1, 5)):
                z.append(below(rng.choice(z), name))
            yield "enormous", z
    for e in range(-4, 7):
        for sign in (1, -1):
            weights = [rng.random() + 0.01 for _ in range(rng.randint(2, 6))]
            yield "about a power of two", [sign * 2.0**e + ln(w / sum(weights)) for w in weights]
    for closeness, count in ((200, 8), (300, 3), (500, 2)):
        for index in range(count):
            for is_above in (False, True):
                y = row([rng.uniform(-1, 1) * (1, 1e-3, 30, 1000)[index % 4]], name)[0]
                yield f"half-way to 2^-{closeness}", half_way(y, name, closeness, is_above)


RECIPES = [(n, k) for n in (1000, 10_000, 100_000) for k in (-23, -20, -17, -40)]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    for z, published in (([0, -40], "4.248e-18"), ([-ln(2)] * 2, "2.319e-17"), ([ln(0.3), ln(0.7)], "-8.570e-17")):
        assert f"{exact(z, 'f64')[0]:.3e}" == published
    for name in FORMATS:
        lines = [f"# {name}: made by make.py with mpmath {mpmath.__version__}; the format is described there."]
        for regime, z in rows(name):
            z = row(z, name)
            value, p, log_p = exact(z, name)
            log_p = ["-inf" if x is None else pair(x) for x in log_p]
            fields = [regime, " ".join(x.hex() for x in z), value.hex(), " ".join(map(pair, p)), " ".join(log_p)]
            lines.append(" | ".join(fields))
        for seed, (n, k) in enumerate(RECIPES, start=1):
            z = recipe(seed, n, k)
            value, p, log_p = exact(z, name)
            some = sorted({0, 1, 15, 16, n // 2, n - 1, z.index(max(z)), z.index(min(z))})
            p, log_p = (" ".join(f"{i}={pair(of[i])}" for i in some) for of in (p, log_p))
            lines.append(" | ".join([f"{n} numbers", f"@{seed},{n},{k}", value.hex(), p, log_p]))
        with open(os.path.join(here, f"{name}.txt"), "w") as file:
            file.write("\n".join(lines) + "\n")
        print(f"{name}.txt: {len(lines) - 1} rows")


if __name__ == "__main__":
    main()
