import math

import numpy as np
import pytest

from labbook.compare.paired import paired_interval, t_quantile


@pytest.mark.parametrize(
    ("df", "value"),
    # NIST e-Handbook, §1.3.6.7.2, upper 0.025
    [(1, 12.706), (2, 4.303), (5, 2.571), (10, 2.228), (30, 2.042), (100, 1.984), (10**6, 1.960)],
)
def test_the_quantiles_of_the_printed_table(df, value):
    assert t_quantile(0.975, df) == pytest.approx(value, abs=5e-4)


def test_an_interval_worked_by_hand():
    # differences 1, 2, 3: mean 2, s = 1, half width 4.3027 / √3
    found = paired_interval(np.array([1.0, 1.0, 1.0]), np.array([2.0, 3.0, 4.0]))
    assert (found.n, found.mean_a, found.mean_b, found.difference) == (3, 1.0, 3.0, 2.0)
    assert found.high - found.difference == pytest.approx(4.30265 / math.sqrt(3), abs=1e-4)
    assert found.low == pytest.approx(2 - 4.30265 / math.sqrt(3), abs=1e-4)
    assert not found.is_clear
    assert found.stderr == pytest.approx(1 / math.sqrt(3))


def test_pairing_sees_what_the_means_alone_hide():
    spread = np.linspace(0, 100, 50)
    found = paired_interval(spread, spread + 0.1 + 0.01 * np.sin(spread))
    assert found.is_clear
    assert 0.09 < found.low < found.high < 0.11


def test_values_that_are_not_finite_are_left_out_and_counted():
    a = np.array([1.0, math.nan, 3.0, 4.0])
    found = paired_interval(a, np.array([2.0, 2.0, math.inf, 5.0]))
    assert (found.n, found.n_left_out, found.difference) == (2, 2, 1.0)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_pairs_have_no_interval(n):
    found = paired_interval(np.ones(n), np.zeros(n))
    assert (found.n, found.low, found.high, found.is_clear) == (n, None, None, False)
    assert found.difference == (-1.0 if n else None)
    assert found.stderr is None


def test_the_interval_covers_the_truth_as_often_as_it_says():
    draw = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        a = draw.normal(size=6)
        found = paired_interval(a, a + draw.normal(0.5, 1.0, size=6))
        hits += found.low <= 0.5 <= found.high
    assert 0.935 < hits / 2000 < 0.965
