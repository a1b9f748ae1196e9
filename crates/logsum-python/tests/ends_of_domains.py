"""Derivatives of functions by element at the ends of their domains, for torch and JAX."""

import mpmath
import numpy as np

inf, nan = np.inf, np.nan
# Each function ("x log(1/2)" and "log y" are x log y as functions of one argument), the point, and the derivatives of
# first, second and third order there.
DERIVATIVES = [
    ("logit", 0.0, [inf, -inf, inf]),
    ("logit", -0.0, [inf, -inf, inf]),
    ("logit", 1.0, [inf, inf, inf]),
    ("logit", 0.5, [4, 0, 32]),
    ("logit", -0.5, [nan, nan, nan]),
    ("xlogx", 0.0, [-inf, inf, -inf]),
    ("xlogx", -0.0, [-inf, inf, -inf]),
    ("xlogx", -0.5, [nan, nan, nan]),
    ("log1mexp", 0.0, [-inf, -inf, -inf]),
    ("log1mexp", 0.5, [nan, nan, nan]),
    ("log y", 0.0, [inf, -inf, inf]),
    ("log y", -1.0, [nan, nan, nan]),
    ("x log(1/2)", 0.0, [-0.6931471805599453, 0, 0]),
]
# Points at which the value is NaN, and so are the derivatives.
WITHOUT_VALUE = [
    ("logit", [-0.5]),
    ("logit", [1.5]),
    ("log1mexp", [0.5]),
    ("logexpm1", [-0.5]),
    ("logsubexp", [1.0, 2.0]),
    ("xlogy", [1.0, -0.5]),
    ("xlogx", [-0.5]),
]


def infinite_slopes(module, one_like):
    """Functions, a point where their slope is infinite, and one where it is not."""
    return [
        (module.xlogx, 0.0, 0.3),
        (module.logit, 0.0, 0.3),
        (module.log1mexp, 0.0, -0.3),
        (module.logexpm1, 0.0, 0.3),
        (lambda x: module.xlogy(1 + x, x), 0.0, 0.3),
        (lambda x: module.xlogy(x, x), 0.0, 0.3),
        (lambda x: module.logsubexp(1 + x, one_like(x)), 0.0, 0.3),
    ]


def check_derivatives(module, double, where, grad, jacfwd):
    """To the third order, backward, forward and mixed, and where a mask leaves them out."""
    named = {"log y": lambda y: module.xlogy(double(1.0), y), "x log(1/2)": lambda x: module.xlogy(x, double(0.5))}
    orders = [(grad,) * 3, (jacfwd,) * 3, (grad, jacfwd, grad), (jacfwd, grad, jacfwd)]

    def derivatives(f, x):
        """Of each way."""
        for order in orders:
            h, found = f, []
            for transform in order:
                h = transform(h)
                found.append(float(h(double(x))))
            yield found

    for name, x, expected in DERIVATIVES:
        for found in derivatives(named.get(name) or getattr(module, name), x):
            np.testing.assert_allclose(found, expected, rtol=1e-12, err_msg=f"{name} at {x}")
    for name in ("logit", "xlogx", "log1mexp", "logexpm1", "log1pexp", "logistic", "log_logistic"):
        for x in (0.0, -0.0, 0.5, -0.5, 2.0, -2.0):
            for found in derivatives(lambda x: where(x > 99, getattr(module, name)(x), x), x):
                assert found == [1, 0, 0], (name, x, found)


# Pairs far apart: the difference is rounded, by many ulps of its exponential.
FAR_APART = {
    "bfloat16": [(3.25, -70.0), (2.0, -0.0390625), (-2.453125, -6.59375), (0.10009765625, -16.125), (1.5, 1.4921875)],
    "float16": [(4.34375, -3.93359375), (1.5, -7.99609375), (0.1, -5.4), (1000.0, 999.5)],
    "float32": [(0.1, -71.4), (-7.821971893310547, -78.91), (3.3, 3.2999), (1e-8, -20.0)],
    "float64": [(0.1, -533.9), (-1.1, -500.3), (3.3, 3.2999999), (1e-17, -40.0)],
}


def check_logsubexp(dtype, epsilon, round, grad, hessian):
    """The derivatives by both and the second ones, within some units of the format; `epsilon` is the distance of 1 and the next number."""
    for pair in FAR_APART[dtype]:
        x, y = (round(number) for number in pair)
        with mpmath.workdps(50):
            gap = mpmath.e ** (mpmath.mpf(y) - mpmath.mpf(x))
            ratio = gap / (1 - gap)
            second = ratio * (1 + ratio)
            first, second = np.array([1 + ratio, -ratio], float), np.array([[-second, second], [second, -second]], float)
        np.testing.assert_allclose(grad(x, y), first, rtol=3 * epsilon, err_msg=f"{dtype}, {pair}")
        np.testing.assert_allclose(hessian(x, y), second, rtol=8 * epsilon, err_msg=f"{dtype}, {pair}")
