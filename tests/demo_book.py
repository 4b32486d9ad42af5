"""Makes the book of `labbook tui --demo` from real runs of `examples/digits`, in about a minute.

    python -m tests.demo_book

Then `python -m tests.tui.snapshot`, `python tui/picture.py --demo` and `python tui/cast.py`: they
show this book.

Three seeds of one setting, another learning rate, a run of a dirty tree, and one that failed. The
copies of the scripts that are trained differ from the examples by `SMALLER`, so that the book is
small enough to ship; whatever names this machine, its user or its folders is replaced at the end.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from labbook_tui.demo import ARCHIVE

ROOT = Path(__file__).parent.parent
HOME = "/home/you/digits"
FACTS = {"host": "workstation", "boot_id": "00000000-0000-0000-0000-000000000000"}
FOLDERS = {"PYTHONPATH", "TORCHINDUCTOR_CACHE_DIR"}
"""Variables that hold folders of this machine."""

SMALLER = {
    "train.py": {
        "n=64)": 'n=40, precision="bf16")',
        "default=120": "default=24",
        "n_steps // 10": "n_steps // 6",
        "step % 50 ==": "step % 48 ==",
        "labbook.start()": "labbook.start(gauges=0.2)",  # a run takes four seconds
    },
    "evaluation.py": {
        '"logits": logits,': '"taken for": [str(n) for n in logits.argmax(1).tolist()],'
    },
}
"""Text of an example → text of the demo's copy, by file."""
GROWING = {
    "model(shifted(images))": "model(grown(shifted(images), epoch))",
    "def main() -> None:": (
        "def grown(images: torch.Tensor, epoch: int) -> torch.Tensor:\n"
        '    """Larger pictures for the second half of the training."""\n'
        "    return F.interpolate(images, size=12) if epoch >= 12 else images\n\n\n"
        "def main() -> None:"
    ),
}
"""An idea with a mistake in it: the last layer wants the pictures that it was made for."""
SMOOTHING = {"(shifted(images)), labels)": "(shifted(images)), labels, label_smoothing=0.1)"}
RUNS: tuple[tuple[str, tuple[str, ...], dict[str, str]], ...] = (
    ("base-0", ("--seed", "0"), {}),
    ("base-1", ("--seed", "1"), {}),
    ("base-2", ("--seed", "2"), {}),
    ("fast", ("--lr", "0.01"), {}),
    ("growing", (), GROWING),
    ("smoothed", (), SMOOTHING),
)
"""Name, arguments, and what was changed in train.py and not committed."""


def main() -> None:
    """Train, evaluate, take out what names this machine, pack."""
    with tempfile.TemporaryDirectory(prefix="labbook-demo-") as folder:
        lab = Path(folder) / "digits"
        make_lab(lab)
        for name, arguments, change in RUNS:
            train(lab, name, arguments, change)
        labbook(lab, "watch", "evaluation.py", "--once")
        labbook(lab, "note", "smoothed", "Label smoothing 0.1, to see what it costs in accuracy.")
        labbook(lab, "tag", "base-0", "reference")
        book = lab / ".labbook"
        lighten(book)
        scrub(book, lab)
        check(book, lab)
        pack(book)
    print(f"{ARCHIVE.relative_to(ROOT)}: {ARCHIVE.stat().st_size / 1e3:.0f} kB")


# ---------------------------------------------------------------------- runs


def make_lab(lab: Path) -> None:
    """A repository with the two scripts, committed."""
    lab.mkdir()
    for name, changes in SMALLER.items():
        text = (ROOT / "examples" / "digits" / name).read_text()
        (lab / name).write_text(changed(text, changes))
    git = ["git", "-C", str(lab), "-c", "user.name=you", "-c", "user.email=you@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "Digits"]):
        subprocess.run([*git, *words], check=True, env=environment())


def changed(text: str, changes: dict[str, str]) -> str:
    """The text with these replacements, each of which must have something to replace."""
    for old, new in changes.items():
        if old not in text:
            raise SystemExit(f"the example no longer has {old!r}: change tests/demo_book.py too")
        text = text.replace(old, new)
    return text


def environment(**more: str) -> dict[str, str]:
    """Little: what is recorded of it should say nothing about this machine."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    python = os.pathsep.join([str(ROOT), str(ROOT / "tui"), str(ROOT / "hooks")])
    home = {"HOME": "/nonexistent", "LANG": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1"}
    return {"PATH": path, "PYTHONPATH": python, "OMP_NUM_THREADS": "1", **home, **more}


def train(lab: Path, name: str, arguments: tuple[str, ...], change: dict[str, str]) -> None:
    """One run; with a change, of a tree that is dirty for as long as it takes."""
    script = lab / "train.py"
    committed = script.read_text()
    script.write_text(changed(committed, change))
    group = "seeds" if name.startswith("base") else ""
    named = {"LABBOOK_NAME": name, **({"LABBOOK_GROUP": group} if group else {})}
    done = subprocess.run(
        [sys.executable, "train.py", *arguments],
        cwd=lab,
        env=environment(**named),
        capture_output=True,  # a file would be recorded by its path, and not copied
        text=True,
        check=False,
    )
    script.write_text(committed)
    if done.returncode != (1 if change is GROWING else 0):
        raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stderr}")
    print(done.stderr.splitlines()[0])


def labbook(lab: Path, *words: str) -> None:
    """One command of labbook on the book."""
    command = [sys.executable, "-m", "labbook.cli", *words]
    subprocess.run(command, cwd=lab, env=environment(), check=True, stdout=subprocess.DEVNULL)


# ---------------------------------------------------------------------- no trace of this machine


def lighten(book: Path) -> None:
    """Leave out the weights, what can be made again, and the watcher's own."""
    for path in book.glob("runs/*/checkpoints/*.pt"):
        path.unlink()
    for folder in book.glob("runs/*/watch/*"):
        shutil.rmtree(folder)
    shutil.rmtree(book / "watchers")
    (book / "catalog.parquet").unlink(missing_ok=True)


def scrub(book: Path, lab: Path) -> None:
    """Replace paths, host and boot in all texts, and in what results say about themselves."""
    places = places_of(lab)

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: FACTS[key] if key in FACTS and isinstance(each, str) else clean(each)
                for key, each in value.items()
                if key not in FOLDERS
            }
        if isinstance(value, list):
            return [clean(each) for each in value]
        if value == getpass.getuser():
            return "you"
        return replaced(value, places) if isinstance(value, str) else value

    for path in sorted(book.rglob("*")):
        if path.suffix == ".json":
            path.write_text(json.dumps(clean(json.loads(path.read_text())), indent=1))
        elif path.suffix in {".log", ".md"}:
            path.write_text(replaced(path.read_text(), places))
        elif path.suffix == ".parquet" and "evaluations" in path.parts:
            _scrub_result(path, clean)


def _scrub_result(path: Path, clean: Callable[[Any], Any]) -> None:
    table = pq.read_table(path)
    about = clean(json.loads(table.schema.metadata[b"labbook"]))
    table = table.replace_schema_metadata({b"labbook": json.dumps(about)})
    pq.write_table(table, path, compression="zstd")


def places_of(lab: Path) -> dict[str, str]:
    """Folders of this machine → folders of the demo's, the longest first."""
    venv = f"{HOME}/.venv"
    paths = sysconfig.get_paths()
    found = {
        str(lab): HOME,
        str(Path(sys.executable)): f"{venv}/bin/python",
        paths["purelib"]: f"{venv}/lib/python/site-packages",
        paths["stdlib"]: f"{venv}/lib/python",
        sys.prefix: venv,
        sys.base_prefix: venv,
        str(ROOT): f"{venv}/lib/python/site-packages",
    }
    found |= {each: f"{venv}/lib/python/site-packages" for each in sys.path if "site-pack" in each}
    real = {os.path.realpath(old): new for old, new in found.items()}
    return dict(sorted({**real, **found}.items(), key=lambda pair: -len(pair[0])))


def replaced(text: str, places: dict[str, str]) -> str:
    """The text with the demo's folders."""
    for old, new in places.items():
        text = text.replace(old, new)
    return text


def check(book: Path, lab: Path) -> None:
    """Stop when anything is left that names this machine."""
    names = {*places_of(lab), str(Path.home()), socket.gethostname(), getpass.getuser()}
    for path, text in texts_of(book):
        for name in names:
            if f" {name} " in f" {' '.join(words_of(text))} ":
                raise SystemExit(f"{path.relative_to(book)} still names {name!r}")


def words_of(text: str) -> list[str]:
    """What stands between quotes, blanks and colons."""
    for sign in "\"'()[]{},:=\n\t":
        text = text.replace(sign, " ")
    return text.split()


def texts_of(book: Path) -> Iterator[tuple[Path, str]]:
    """Every file of a book as text: tables with all that they hold, git's objects by git."""
    for path in sorted(book.rglob("*")):
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            texts = [f.name for f in table.schema if pa.types.is_string(f.type)]
            yield path, f"{table.schema.metadata} {table.select(texts).to_pylist()}"
        elif path.is_file() and "objects" not in path.parts:
            yield path, path.read_text()
    git = ["git", "--git-dir", str(book / "code.git"), "cat-file"]
    listed = [*git, "--batch-all-objects", "--batch", "--buffer"]
    objects = subprocess.run(listed, capture_output=True, check=True).stdout
    yield book / "code.git", objects.decode("utf-8", "replace")


# ---------------------------------------------------------------------- the archive


def pack(book: Path) -> None:
    """One compressed archive, with neither owners nor times of this machine's files."""

    def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        member.mtime = int(member.mtime)
        return member

    with tarfile.open(ARCHIVE, "w:xz", preset=9) as archive:
        archive.add(book, "digits/.labbook", filter=plain)


if __name__ == "__main__":
    main()
