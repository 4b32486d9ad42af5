"""The house stands as drawn: arrows of import, a light `import labbook`, a complete wheel."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "labbook": ROOT / "labbook",
    "labbook_tui": ROOT / "tui/labbook_tui",
    "labbook_hooks": ROOT / "hooks/labbook_hooks",
}

GROUND = {"labbook.paths", "labbook.errors", "labbook.direction", "labbook.wrapping"}
ARROWS = {
    "labbook.errors": set(),
    "labbook.paths": {"labbook.errors"},
    "labbook.direction": {"labbook.errors"},
    "labbook.wrapping": set(),
    "labbook.journal": GROUND,
    "labbook.conditions": GROUND,
    "labbook.client": GROUND | {"labbook.journal", "labbook.conditions"},
    "labbook.book": GROUND | {"labbook.journal"},
    "labbook.watch": GROUND
    | {
        "labbook.journal",
        "labbook.book",
        "labbook.conditions",
        "labbook.client",
        "labbook.restore",
    },
    "labbook.compare": GROUND | {"labbook.journal", "labbook.book", "labbook.conditions"},
    "labbook.dynamics": GROUND | {"labbook.journal", "labbook.book"},
    "labbook.checks": GROUND
    | {"labbook.journal", "labbook.book", "labbook.client", "labbook.dynamics"}
    | {"labbook.compare"},
    "labbook.export": GROUND | {"labbook.book"},
    "labbook.restore": GROUND | {"labbook.journal", "labbook.book", "labbook.conditions"},
    "labbook.upkeep": GROUND
    | {"labbook.journal", "labbook.book", "labbook.client", "labbook.conditions"},
    "labbook.cli": {"*"},
    "labbook": {"labbook.errors", "labbook.conditions", "labbook.client", "labbook.book"}
    | {"labbook.watch", "labbook.checks"},
    "labbook_tui": GROUND
    | {"labbook.journal", "labbook.book", "labbook.dynamics", "labbook.compare", "labbook.upkeep"}
    | {"labbook.restore", "labbook.checks"},
    "labbook_hooks": GROUND | {"labbook.client"},
}
"""Package -> the packages of ours that it may import, lazily or not."""

THIRD_PARTY = {
    "labbook.errors": set(),
    "labbook.paths": set(),
    "labbook.direction": set(),
    "labbook.wrapping": set(),
    "labbook.journal": set(),
    "labbook.conditions": {"psutil", "git", "pynvml"},
    "labbook.client": {"psutil", "pynvml", "amdsmi", "numpy", "torch"},
    "labbook.book": {"pyarrow", "numpy"},
    "labbook.watch": {"watchdog", "psutil", "pynvml", "pyarrow", "numpy", "torch", "safetensors"}
    | {"lm_eval"},
    "labbook.compare": {"pyarrow", "numpy"},
    "labbook.dynamics": {"pyarrow", "numpy"},
    "labbook.checks": {"pyarrow", "numpy", "torch", "pytest"},
    "labbook.export": {"pyarrow", "duckdb"},
    "labbook.restore": {"pyarrow", "numpy"},
    "labbook.upkeep": {"pyarrow", "git"},
    "labbook.cli": {"click", "pyarrow", "numpy"},
    "labbook": set(),
    "labbook_tui": {"textual", "rich", "pyarrow", "numpy", "PIL"},
    "labbook_hooks": set(),
}
"""Package -> what it may import from elsewhere."""

LIGHT = ("labbook", "labbook.journal", "labbook.conditions", "labbook.client")
"""Packages that live in the training process."""

SLOW = {"torch", "numpy", "git"}
"""What those import only inside a function: they take tenths of a second, or seconds."""


def package_of(module: str) -> str:
    parts = module.split(".")
    if parts[0] != "labbook" or len(parts) == 1:
        return parts[0]
    return ".".join(parts[:2])


def modules() -> Iterator[tuple[str, Path]]:
    for name, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [name, *path.relative_to(folder).with_suffix("").parts]
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(module: str, path: Path) -> Iterator[tuple[str, int, bool]]:
    """Yield (what is imported, line, whether at the top), but not what only type checkers see."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            child.parent = node
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            # `from labbook import paths` names a module, `from labbook import open` does not
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        above = list(ancestors(node))
        if any(isinstance(a, ast.If) and "TYPE_CHECKING" in ast.unparse(a.test) for a in above):
            continue
        is_lazy = any(isinstance(a, ast.FunctionDef | ast.AsyncFunctionDef) for a in above)
        for name in names:
            yield name, node.lineno, not is_lazy


def ancestors(node: ast.AST) -> Iterator[ast.AST]:
    while (node := getattr(node, "parent", None)) is not None:
        yield node


def home_of(imported: str) -> str:
    """Return the package of ours, or the top name, that an imported name belongs to."""
    home = package_of(imported)
    return home if home in ARROWS else imported.split(".", maxsplit=1)[0]


def wrong_arrows(module: str, path: Path) -> Iterator[str]:
    package = package_of(module)
    for imported, line, is_at_top in imports(module, path):
        home = home_of(imported)
        where = f"{path.relative_to(ROOT)}:{line}: {package} imports {imported}"
        if home in ARROWS:
            # anyone may have the public names, which `labbook` itself imports lazily
            if home not in {package, "labbook"} and not {home, "*"} & ARROWS[package]:
                yield where
        elif home not in sys.stdlib_module_names:
            if home not in THIRD_PARTY[package]:
                yield where
            elif is_at_top and package in LIGHT and home in SLOW:
                yield f"{where} at the top, which every training would pay for"


def test_imports_follow_the_arrows():
    found = [text for module, path in modules() for text in wrong_arrows(module, path)]
    assert not found, "\n".join(found)


def test_a_wrong_arrow_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "writer.py"
    path.write_text("import pyarrow\ndef f():\n    from labbook.client.run import Run\n")
    found = list(wrong_arrows("labbook.journal.writer", path))
    assert [text.partition(" ")[0] for text in found] == ["writer.py:1:", "writer.py:3:"]


def test_a_slow_import_at_the_top_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "values.py"
    path.write_text("import torch\ndef f():\n    import numpy\n")
    [found] = wrong_arrows("labbook.client.values", path)
    assert found.startswith("values.py:1:")


def test_every_package_is_drawn():
    assert {package_of(module) for module, _ in modules()} <= ARROWS.keys()


def loaded_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return {name.partition(".")[0] for name in result.stdout.split()}


HEAVY = {"pyarrow", "git", "torch", "numpy", "textual", "click", "psutil", "watchdog", "pynvml"}


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import labbook", HEAVY),
        ("import labbook.cli", HEAVY - {"click"}),
        ("import labbook; labbook.evaluation", HEAVY),
        ("import labbook.watch.supervisor", HEAVY - {"watchdog", "psutil"}),
    ],
)
def test_importing_stays_light(code, unwanted):
    assert not loaded_by(code) & unwanted


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    # hatchling itself: pip would fetch another one for an environment of its own
    result = subprocess.run(
        [sys.executable, "-c", build], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return zipfile.ZipFile(folder / result.stdout.split()[-1])


def test_the_wheel_has_the_packages_and_nothing_else(wheel):
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "labbook",
        "labbook_tui",
        "labbook_hooks",
    }


def test_the_wheel_has_every_module_and_the_stylesheets(wheel):
    expected = {
        path.relative_to(folder.parent).as_posix()
        for folder in FOLDERS.values()
        for path in [*folder.rglob("*.py"), *folder.rglob("*.tcss"), *folder.rglob("py.typed")]
    }
    assert expected <= set(wheel.namelist())


def test_the_wheel_carries_the_licence_and_the_command(wheel):
    names = wheel.namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
    assert "labbook = labbook.cli:main" in wheel.read(entry_points).decode()
