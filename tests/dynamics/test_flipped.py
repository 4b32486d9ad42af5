"""What the ranking of suspects is for: wrong labels, in a net that learns them by heart."""

from __future__ import annotations

import pytest

from tests.dynamics.flipped import precisions


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_flipped_labels_are_the_first_suspects(tmp_path, capfd):
    found = precisions(tmp_path, epochs=20)
    assert found.n_flipped >= 20
    assert found.learned >= 0.8  # the last loss alone tells little by then
    assert found.shares["mean loss"] >= 0.8
    assert found.shares["mean loss"] > found.shares["last loss"]
