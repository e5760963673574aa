"""How Ruby spells a float in JSON: two spellings, of the json gem up to 2.10 and of the one since 2.15.

Both print the shortest digits that read back as the same double, and differ in where they switch to an exponent
(ECOSYSTEM.md §1.2). The newer gem's digits are not always the shortest; see `spell`.
"""

from __future__ import annotations

from pykiq.wire.dialect import Dialect


def has_common_spelling(value: float, text: str) -> bool:
    """Tell whether `text` is how every dialect, orjson and Python spell `value`."""
    size = abs(value)
    return (1e-4 <= size < 1e15 or size == 0.0) and float.__repr__(value) == text


def spell(value: float, dialect: Dialect) -> str:
    """Return a finite float as Ruby's json gem of this dialect writes it.

    6.4 and 7.3 are exact. In 8.1 about one double in a thousand of everyday size comes out of the gem with a digit too
    many (`897596.8174000001` for 897596.8174); here it is always the shortest. Both read back as the same double.
    """
    size = abs(value)
    if 1e-4 <= size < 1e15 or size == 0.0:
        return float.__repr__(value)
    sign = "-" if value < 0 else ""
    digits, exponent = _shortest(size)
    if dialect.short_floats:
        return sign + _short(digits, exponent)
    return sign + _long(digits, exponent)


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
    """The newer spelling: `1e+20`, `0.00000015`; fixed also while the point falls within the digits."""
    if 0 <= exponent < len(digits) - 1:
        return f"{digits[: exponent + 1]}.{digits[exponent + 1 :]}"
    if -9 <= exponent < 0:
        return f"0.{'0' * (-exponent - 1)}{digits}"
    return f"{digits[0]}{'.' + digits[1:] if len(digits) > 1 else ''}e{exponent:+d}"
