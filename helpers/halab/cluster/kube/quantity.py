"""Resource quantities ("500m", "1.5Gi", "12e6"): their value, and the one spelling that Kubernetes gives back.

A quantity is kept as text in objects; here it becomes an exact ``Decimal`` and goes back to text. The rules are those of
apimachinery's ``resource.Quantity`` (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/):
the suffix family of the input is kept, no fraction is printed, the suffix is the largest that loses nothing.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_UP, Context, Decimal
from functools import lru_cache
from typing import Literal, NamedTuple

Format = Literal["DecimalSI", "BinarySI", "DecimalExponent"]

PATTERN_ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
NUMERIC_ERROR = "unable to parse numeric part of quantity"
SUFFIX_ERROR = "unable to parse quantity's suffix"

_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_NAMES = {power: name for name, power in _BINARY.items()}
_DECIMAL_NAMES = {power: name for name, power in _DECIMAL.items()}
_SUFFIX_LETTERS = frozenset("eEinumkKMGTP")
_MAX = 2**63 - 1
_NANO = Decimal(1).scaleb(-9)
_EXACT = Context(prec=120)  # sums of quotas must not be rounded


class Quantity(NamedTuple):
    """An exact value and the suffix family it was written in."""

    value: Decimal
    format: Format = "DecimalSI"

    def __str__(self) -> str:
        return _spell(self.value, self.format)


@lru_cache(maxsize=4096)
def quantity(text: str) -> Quantity:
    """The value and suffix family of ``text``. Raises ValueError with Kubernetes' words."""
    return _interpret(text)[0]


def parse(text: str | int | float) -> Decimal:
    """The exact value of a quantity, in its base unit (cores, bytes, pieces). Raises ValueError with Kubernetes' words."""
    return quantity(text if isinstance(text, str) else str(text)).value


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """The spelling that the API server stores and returns for ``text``: "0.5" gives "500m", "1024Mi" gives "1Gi"."""
    parsed, keep = _interpret(text)
    return text if keep else _spell(parsed.value, parsed.format)


def is_valid(text: str) -> bool:
    try:
        quantity(text)
    except ValueError:
        return False
    return True


def to_int(text: str | int | float) -> int:
    """The whole units, rounded up (``Quantity.Value``)."""
    return int(parse(text).to_integral_value(ROUND_CEILING))


def to_milli(text: str | int | float) -> int:
    """Thousandths of the unit, rounded up (``Quantity.MilliValue``): 1 core is 1000."""
    return int(parse(text).scaleb(3).to_integral_value(ROUND_CEILING))


def compare(a: str, b: str) -> int:
    """-1, 0 or 1 as ``a`` is less than, equal to or greater than ``b``."""
    left, right = parse(a), parse(b)
    return (left > right) - (left < right)


def add(a: str, b: str) -> str:
    """The sum in the suffix family of ``a`` (of ``b`` where ``a`` is zero), as quota usage is summed."""
    left, right = quantity(a), quantity(b)
    chosen: Format = left.format if left.value else right.format
    return _spell(_EXACT.add(left.value, right.value), chosen)


def subtract(a: str, b: str) -> str:
    """``a`` less ``b``, in the suffix family of ``a`` (of ``b`` where ``a`` is zero)."""
    left, right = quantity(a), quantity(b)
    chosen: Format = left.format if left.value else right.format
    return _spell(_EXACT.subtract(left.value, right.value), chosen)


def spell(value: Decimal | int, family: Format = "DecimalSI") -> str:
    """The canonical text of a value in a suffix family; ``spell(1536 * 2**20, "BinarySI")`` is "1536Mi"."""
    return _spell(Decimal(value), family)


def spell_milli(value: int) -> str:
    """The canonical text of thousandths: ``spell_milli(1500)`` is "1500m", ``spell_milli(2000)`` is "2"."""
    return _spell(Decimal(value).scaleb(-3), "DecimalSI")


def _split(text: str) -> tuple[bool, str, str, str]:
    """(positive, digits before the point without leading zeros, digits after it, suffix)."""
    if not text:
        raise ValueError(PATTERN_ERROR)
    position = 1 if text[0] in "+-" else 0
    positive = text[0] != "-"
    start = position
    while position < len(text) and text[position].isascii() and text[position].isdigit():
        position += 1
    whole, fraction = text[start:position].lstrip("0") or "0", ""
    if position < len(text) and text[position] == ".":
        start = position = position + 1
        while position < len(text) and text[position].isascii() and text[position].isdigit():
            position += 1
        fraction = text[start:position]
    suffix = text[position:]
    position = 0
    while position < len(suffix) and suffix[position] in _SUFFIX_LETTERS:
        position += 1
    rest = suffix[position:]
    if rest and rest[0] in "+-":
        rest = rest[1:]
    if rest and not (rest.isascii() and rest.isdigit()):
        raise ValueError(PATTERN_ERROR)
    return positive, whole, fraction, suffix


def _exponent(suffix: str) -> tuple[Format, int]:
    if suffix in _DECIMAL:
        return "DecimalSI", _DECIMAL[suffix]
    if suffix in _BINARY:
        return "BinarySI", _BINARY[suffix]
    if len(suffix) > 1 and suffix[0] in "eE":
        try:
            return "DecimalExponent", int(suffix[1:])
        except ValueError:
            pass
    raise ValueError(SUFFIX_ERROR)


def _interpret(text: str) -> tuple[Quantity, bool]:
    """The quantity, and whether Kubernetes keeps this very spelling (it does where the text already looks canonical)."""
    positive, whole, fraction, suffix = _split(text)
    if text in ("+", "-", ".", "+.", "-.") or (whole == "0" and not fraction and not any(c.isdigit() for c in text)):
        raise ValueError(NUMERIC_ERROR if suffix == "" else PATTERN_ERROR)
    family, exponent = _exponent(suffix)
    if abs(exponent) > 1000:
        raise ValueError(NUMERIC_ERROR)
    digits = whole + fraction
    number = Decimal(f"{digits}E{-len(fraction)}")
    keep = False
    if family == "BinarySI":
        value = _EXACT.multiply(number, Decimal(2**exponent))
        fits = not fraction and 15 - len(whole) - int(exponent * 3 / 10) - 1 >= 0
        keep = fits and int(digits) & 7 != 0
        value = min(value, Decimal(_MAX))
    else:
        value = number.scaleb(exponent, _EXACT)
        scale = exponent - len(fraction)
        fits = 18 - len(whole) - len(fraction) >= 0 and scale >= -9
        keep = text == "0" or (fits and scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0")
    if value:
        value = value.quantize(_NANO, ROUND_UP, _EXACT) if value.as_tuple().exponent < -9 else value  # type: ignore[operator]
    if family == "BinarySI" and 0 < value < 1:
        family = "DecimalSI"
    return Quantity(value if positive else -value, family), keep


def _spell(value: Decimal, family: Format) -> str:
    if not value:
        return "0"
    if family == "BinarySI" and (-1024 < value < 1024 or value != value.to_integral_value()):
        family = "DecimalSI"
    if family == "BinarySI":
        number, power = int(value), 0
        while number % 1024 == 0 and power < 60:
            number, power = number // 1024, power + 10
        return f"{number}{_BINARY_NAMES.get(power, '')}"
    sign, digits, exponent = value.normalize(_EXACT).as_tuple()
    mantissa, power = int("".join(map(str, digits))), int(exponent)
    while power % 3 or (family == "DecimalSI" and power > 18):
        mantissa, power = mantissa * 10, power - 1
    text = f"{'-' if sign else ''}{mantissa}"
    if family == "DecimalSI":
        return text + _DECIMAL_NAMES[power]
    return f"{text}e{power}" if power else text
