"""Quantities: one spelling, exact sums, Kubernetes' words for what does not parse."""

from __future__ import annotations

import pytest

from halab.cluster.kube.quantity import PATTERN_ERROR, add, canonical, compare, parse, subtract, to_int, to_milli


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("2000Mi", "2000Mi"),
        ("0.1Ki", "102400m"),
        ("12e6", "12e6"),
        ("1000", "1k"),
        ("0.0000000001", "1n"),
        ("00", "0"),
        ("-1.5Gi", "-1536Mi"),
        ("100m", "100m"),
        ("1.500", "1.500"),
    ],
)
def test_a_quantity_has_one_spelling(text: str, expected: str) -> None:
    assert canonical(text) == expected


@pytest.mark.parametrize("text", ["", "abc", "1.2.3", "10 m", "m"])
def test_a_text_that_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        canonical(text)
    assert str(caught.value) == PATTERN_ERROR


def test_sums_keep_the_family_of_the_first_that_is_not_zero() -> None:
    assert add("100m", "1") == "1100m"
    assert add("0", "1Gi") == "1Gi"
    assert subtract("1Gi", "512Mi") == "512Mi"


def test_values_round_up_and_compare_exactly() -> None:
    assert (to_int("1.5"), to_milli("0.1"), to_milli("100n")) == (2, 100, 1)
    assert compare("1", "1000m") == 0
    assert parse("1Ki") == 1024
