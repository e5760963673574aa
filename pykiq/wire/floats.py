"""How Ruby spells a float in JSON: two spellings, of the json gem up to 2.10 and of the one since 2.15.

They differ in where they switch to an exponent (ECOSYSTEM.md §1.2) and in the digits: the older gem prints the shortest
that read back as the same double, as Python does, the newer one those of Grisu2.
"""

from __future__ import annotations

from pykiq.wire import grisu
from pykiq.wire.dialect import Dialect

FIXED_FROM, FIXED_BELOW = 1e-4, 1e15
"""Sizes that Python, orjson, and Ruby with the shortest digits, spell alike: without an exponent. Zero is another."""


def has_common_spelling(value: float, text: str) -> bool:
    """Tell whether `text` is how Python and orjson, and Ruby with the shortest digits, spell `value`."""
    return (FIXED_FROM <= abs(value) < FIXED_BELOW or value == 0.0) and float.__repr__(value) == text


def spell(value: float, dialect: Dialect) -> str:
    """Return a finite float exactly as Ruby's json gem of this dialect writes it.

    Compared with json 2.6.1, 2.9.1 and 3.1.0 over tens of thousands of doubles without a difference.
    """
    size = abs(value)
    sign = "-" if value < 0 else ""
    if dialect.short_floats and size != 0.0:
        return sign + _short(*grisu.digits(size))
    if FIXED_FROM <= size < FIXED_BELOW or size == 0.0:
        return float.__repr__(value)
    return sign + _long(*_shortest(size))


def _shortest(size: float) -> tuple[str, int]:
    """The digits of a positive double and the exponent e for which it is d.ddd × 10^e."""
    text = float.__repr__(size)
    mantissa, _, exponent = text.partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0").rstrip("0")
    if exponent:
        return digits, int(exponent)
    if whole != "0":
        return digits, len(whole) - 1
    return digits, len(fraction.lstrip("0")) - len(fraction) - 1


def _long(digits: str, exponent: int) -> str:
    """The older spelling: `1.0e+20`, `1.5e-07`; fixed while the point falls within the digits."""
    if 0 <= exponent < len(digits) - 1:
        return f"{digits[: exponent + 1]}.{digits[exponent + 1 :]}"
    return f"{digits[0]}.{digits[1:] or '0'}e{exponent:+03d}"


def _short(digits: str, exponent: int) -> str:
    """The newer spelling: `1e+20`, `0.00000015`, `100.0`."""
    if 0 <= exponent < len(digits) - 1:
        return f"{digits[: exponent + 1]}.{digits[exponent + 1 :]}"
    if 0 <= exponent < 15:
        return f"{digits.ljust(exponent + 1, '0')}.0"
    if -9 <= exponent < 0:
        return f"0.{'0' * (-exponent - 1)}{digits}"
    return f"{digits[0]}{'.' + digits[1:] if len(digits) > 1 else ''}e{exponent:+d}"
