"""Makes family.txt beside it: the family of log-sum-exp with derivatives, by definition and by differences.

Run: python3 make_family.py        (needs mpmath, 1.3 or later)

A line is

    name | parameters | z | v | value | jvp | gradient | hvp

for a function of the numbers z: its value, its derivative in the direction v, its gradient, and its Hessian times v. Derivatives
are central differences of the definition with a step of 2^-300 in 2000 bits. Numbers are hexadecimal floats that both f32 and f64
hold; results are hi:lo:e as in f64.txt. A result is ~ where it is ill-conditioned: where it cancels to less than 1/8 of the
magnitudes that it is the sum of.
"""

import os
import random
import struct

import mpmath
from make import pair
from mpmath import mp, mpf

mp.prec = 2000
STEP = mpf(2) ** -300


def lse(z):
    return mpmath.log(mpmath.fsum(mpmath.exp(x) for x in z))


def entropy(z, temperature=mpf(1)):
    z = [x / temperature for x in z]
    total = lse(z)
    return -mpmath.fsum(mpmath.exp(x - total) * (x - total) for x in z)


def logvarexp(z, ddof):
    x = [mpmath.exp(y) for y in z]
    mean = mpmath.fsum(x) / len(x)
    return mpmath.log(mpmath.fsum((y - mean) ** 2 for y in x) / (len(x) - ddof))


def weighted(z, *b):
    return mpmath.log(abs(mpmath.fsum(w * mpmath.exp(x) for w, x in zip(b, z, strict=True))))


def logsubexp(z):
    return mpmath.log(mpmath.exp(z[0]) - mpmath.exp(z[1]))


REDUCTIONS = {
    "logsumexp": lse,
    "terms": weighted,
    "logmeanexp": lambda z: lse(z) - mpmath.log(len(z)),
    "logvarexp": logvarexp,
    "softmax_entropy": entropy,
    "temperature": lambda z, t: t * lse([x / t for x in z]),
    "temperature_entropy": entropy,
}

# Those whose value is not promised to an ulp where it cancels to nearly 0.
CANCELLING = ("logvarexp", "temperature")

# A function of one number or two, and from where its numbers are.
SCALARS = {
    "logaddexp": (lse, [(-30, 30), (-30, 30)]),
    "logsubexp": (logsubexp, None),
    "log1pexp": (lambda z: mpmath.log(1 + mpmath.exp(z[0])), [(-60, 60)]),
    "log1mexp": (lambda z: mpmath.log(1 - mpmath.exp(z[0])), [(-60, 0)]),
    "logexpm1": (lambda z: mpmath.log(mpmath.exp(z[0]) - 1), [(0, 60)]),
    "log_logistic": (lambda z: -mpmath.log(1 + mpmath.exp(-z[0])), [(-60, 60)]),
    "logistic": (lambda z: 1 / (1 + mpmath.exp(-z[0])), [(-60, 60)]),
    "logit": (lambda z: mpmath.log(z[0] / (1 - z[0])), [(0, 1)]),
    "xlogx": (lambda z: z[0] * mpmath.log(z[0]), [(0, 9)]),
    "xlogy": (lambda z: z[0] * mpmath.log(z[1]), [(-9, 9), (0, 9)]),
}


def moved(z, k, by):
    return [x + by if i == k else x for i, x in enumerate(z)]


def slope(f, z, k):
    return (f(moved(z, k, STEP)) - f(moved(z, k, -STEP))) / (2 * STEP)


def hessian(f, z):
    return [[slope(lambda y, j=j: slope(f, y, j), z, k) for k in range(len(z))] for j in range(len(z))]


def total(terms):
    """A sum, or ~ where it cancels."""
    terms = list(terms)
    whole, size = mpmath.fsum(terms), mpmath.fsum(abs(x) for x in terms)
    return pair(whole) if abs(whole) * 8 > size or size == 0 else "~"


def line(name, f, parameters, z, v):
    z, v, parameters = ([mpf(x) for x in numbers] for numbers in (z, v, parameters))

    def of(y):
        return f(y, *parameters)

    gradient, second = [slope(of, z, k) for k in range(len(z))], hessian(of, z)
    # How the gradient changes with the numbers' own magnitudes tells whether it cancels.
    steady = [
        abs(g) * 64 > mpmath.fsum(abs(h * max(abs(x), 1)) for h, x in zip(row, z, strict=True))
        for g, row in zip(gradient, second, strict=True)
    ]
    value = of(z)
    fields = [
        name,
        " ".join(float(x).hex() for x in parameters),
        " ".join(float(x).hex() for x in z),
        " ".join(float(x).hex() for x in v),
        pair(value) if abs(value) > 2**-4 or name not in CANCELLING else "~",
        total(g * x for g, x in zip(gradient, v, strict=True)) if all(steady) else "~",
        " ".join(pair(g) if s else "~" for g, s in zip(gradient, steady, strict=True)),
        " ".join(total(h * x for h, x in zip(row, v, strict=True)) for row in second),
    ]
    return " | ".join(fields)


def single(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def rows():
    rng = random.Random(4)

    def numbers(n, low, high):
        return [single(rng.uniform(low, high)) for _ in range(n)]

    for name, f in REDUCTIONS.items():
        for index in range(24):
            n = rng.randint(2, 6)
            spread = (1, 4, 30, 0.01)[index % 4]
            offset = (0, -3, 1000)[index % 3] if spread > 0.1 else 0
            z, v = numbers(n, offset - spread, offset + spread), numbers(n, -2, 2)
            if index % 5 == 0 and n > 2:
                z[-1] = z[0]
            parameters = {
                "terms": numbers(n, -1 if index % 2 else 0.1, 2),
                "logvarexp": [index % 2],
                "temperature": [single((0.25, 3.0, 0.1, 100.0)[index // 4 % 4])],
                "temperature_entropy": [single((0.25, 3.0, 0.7, 100.0)[index // 4 % 4])],
            }.get(name, [])
            yield line(name, f, parameters, z, v)
    for name, (f, ranges) in SCALARS.items():
        for index in range(30):
            if ranges is None:
                a = single(rng.uniform(-20, 20))
                z = [a, single(a - (40.0, 1.0, 0.01)[index % 3] * rng.random())]
            else:
                z = [single(rng.uniform(low, high) * (1, 0.1, 0.001)[index % 3]) for low, high in ranges]
            yield line(name, f, [], z, numbers(len(z), 0.5, 2))


def main():
    lines = [f"# made by make_family.py with mpmath {mpmath.__version__}; the format is described there.", *rows()]
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "family.txt"), "w") as file:
        file.write("\n".join(lines) + "\n")
    print(f"family.txt: {len(lines) - 1} rows")


if __name__ == "__main__":
    main()
