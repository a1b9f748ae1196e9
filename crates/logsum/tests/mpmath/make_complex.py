"""Makes complex.txt beside it: log-sum-exp of complex numbers, with weights or without, and its derivative, by definition.

Run: python3 make_complex.py        (needs mpmath, 1.3 or later)

A line is

    regime | z | b | value | derivative

with z, and the weights b or ~ if there are none, as re,im in hexadecimal floats; the value log Σ b e^z, and e^z_0 / Σ e^z (~ with
weights), as re,im in hi:lo:e as in f64.txt. The first lines have numbers that f32 holds, too.
"""

import os
import random
import struct

import mpmath
from make import pair
from mpmath import mp, mpc, mpf

mp.prec = 3000


def exact(z):
    return mpc(mpf(z.real), mpf(z.imag))


def total(z, b):
    return mpmath.fsum(exact(w) * mpmath.exp(exact(x)) for x, w in zip(z, b, strict=True))


def rounded(z, is_narrow):
    def part(x):
        x = float(x)
        return struct.unpack("f", struct.pack("f", x))[0] if is_narrow else x

    return complex(part(z.real), part(z.imag))


def rows(chance):
    def uniform(spread):
        return spread * (2 * chance.random() - 1)

    for i in range(250):
        is_narrow = i < 120
        spread = [1, 30, 300, 1e-3][i % 4]
        offset = [0, 0, -700, 1e5, 1e30][i // 4 % 5]
        turns = [3, 100, 1e6, 1e-9, 1e22, 3][i // 3 % 6]
        length = chance.choice([1, 2, 2, 3, 5, 9, 20])
        z = [rounded(complex(offset + uniform(spread), uniform(turns)), is_narrow) for _ in range(length)]
        b = None
        regime = "random"
        if i % 7 == 1:
            regime = "cancels"
            z = [rounded(complex(uniform(20), uniform(3)), is_narrow) for _ in range(length)]
            z.append(rounded(mpmath.log(-total(z, [1] * len(z))), is_narrow))
        elif i % 7 == 2:
            regime = "near 0"
            z = [rounded(complex(uniform(2), uniform(3)), is_narrow) for _ in range(length)]
            z.append(rounded(mpmath.log(1 - total(z, [1] * len(z))), is_narrow))
        elif i % 7 in (3, 5):
            regime = "weighted"
            scale = [1, 1e30, 1e-30, 1][i % 4] if is_narrow else [1, 1e300, 1e-310, 1][i % 4]
            b = [rounded(complex(uniform(scale), uniform(scale) * (i % 2)), is_narrow) for _ in range(length)]
            if i % 6 == 3:
                b[0] = 0j
                z[0] = rounded(complex(1e38, 7), is_narrow)
        elif i % 7 == 6:
            regime = "certain"
            z.append(rounded(complex(max(x.real for x in z) + 40, uniform(1e-20)), is_narrow))
        if b is not None and not any(b):
            continue
        yield regime, z, b
    pi = mpmath.pi
    yield "known", [0j, complex(0, 2.2204460492503132e-17)], None
    yield "known", [0j, complex(0, float(pi))], None
    yield "known", [complex(0, float(pi)), complex(0, -float(pi))], None
    yield "known", [complex(0, float(pi)), complex(-40, 0)], None
    yield "known", [complex(-1e-17, float(pi)), complex(-36, -1.5)], None
    yield "known", [complex(3, 1.7976931348623157e308)], None
    yield "known", [complex(0, 6.283185307179586)], None
    yield "known", [complex(0, 6381956970095103 * 2.0**797)], None
    yield "known", [complex(1e300, 1), complex(1e300, 2)], None
    yield "known", [complex(-745, 1), complex(-745, 2), 0j], None
    yield "known", [complex(-745, 1), complex(0, 2)], [complex(1e300, 2), complex(0, 5e-324)]


def text(z):
    return f"{float(z.real).hex()},{float(z.imag).hex()}"


def exact_text(z):
    z = mpc(z)
    return f"{pair(z.real)},{pair(z.imag)}"


def main():
    chance = random.Random(41)
    with open(os.path.join(os.path.dirname(__file__), "complex.txt"), "w") as file:
        file.write("# Made by make_complex.py, which says what this is.\n")
        for regime, z, b in rows(chance):
            s = total(z, b or [1] * len(z))
            derivative = "~" if b else exact_text(mpmath.exp(exact(z[0])) / s)
            weights = " ".join(map(text, b)) if b else "~"
            file.write(f"{regime} | {' '.join(map(text, z))} | {weights} | {exact_text(mpmath.log(s))} | {derivative}\n")


main()
