"""What every test starts from: an environment without the user's own labbook settings."""

import os

import pytest


@pytest.fixture(autouse=True)
def _plain_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    for name in list(os.environ):
        if name.startswith("LABBOOK_") or name in {"NO_COLOR", "FORCE_COLOR"}:
            monkeypatch.delenv(name)
