"""Checks of the arguments that are not arrays, for NumPy, PyTorch and JAX alike. Each message names the argument."""

import operator


def whole(number, name, lowest=-(2**63)):
    try:
        number = operator.index(number)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(number).__name__}") from None
    if not lowest <= number < 2**63:
        raise ValueError(f"{name} is {number}, it must {'not be negative' if number < lowest == 0 else 'fit into 64 bits'}")
    return number


def real(number, name):
    try:
        if isinstance(number, str | bytes):
            raise TypeError
        return float(number)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError(f"{name} must be a number, not {type(number).__name__}") from None


def positive(number, name):
    found = real(number, name)
    if not 0 < found < float("inf"):
        raise ValueError(f"{name} is {number!r}, it must be finite and positive")
    return found


def one_of(choices, choice, name):
    if not isinstance(choice, str) or choice not in choices:
        raise ValueError(f"{name} is {choice!r}, it must be {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}")
    return choice


def loss_options(ignore_index, reduction, label_smoothing, z_loss, temperature):
    """The options of a loss: everything except scores, targets and class weights."""
    one_of(("mean", "sum", "none"), reduction, "reduction")
    options = {"ignore_index": whole(ignore_index, "ignore_index"), "reduction": reduction}
    limits = {
        "label_smoothing": (label_smoothing, lambda x: 0 <= x <= 1, "between 0 and 1"),
        "z_loss": (z_loss, lambda x: 0 <= x < float("inf"), "finite and not negative"),
    }
    for name, (number, is_right, limit) in limits.items():
        options[name] = real(number, name)
        if not is_right(options[name]):
            raise ValueError(f"{name} is {number!r}, it must be {limit}")
    return options | {"temperature": positive(temperature, "temperature")}


def either(segment_ids, offsets, num_segments):
    """Checks that exactly one of `segment_ids` and `offsets` is given."""
    if (segment_ids is None) == (offsets is None):
        raise TypeError("either segment_ids or offsets must be given, and not both")
    if offsets is not None and num_segments is not None:
        raise TypeError("num_segments goes with segment_ids: offsets say how many segments there are")
