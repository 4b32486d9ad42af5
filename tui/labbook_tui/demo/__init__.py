"""A recorded book, to look at before there is one: `labbook tui --demo`.

`book.tar.xz` holds real runs of `examples/digits`; `python -m tests.demo_book` makes it anew. Its
pictures are 40 of the "Optical Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI,
https://doi.org/10.24432/C50P49, CC BY 4.0), as scikit-learn brings them.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from labbook.errors import StoreError

__all__ = ["ARCHIVE", "unpacked"]

ARCHIVE = Path(__file__).parent / "book.tar.xz"
"""One folder, `digits/.labbook`: everything of a book but the weights in its checkpoints."""


@contextmanager
def unpacked() -> Iterator[Path]:
    """The recorded book in a temporary folder, which is removed at the end.

    Raises `StoreError` where it cannot be unpacked.
    """
    with ExitStack() as stack:
        try:
            folder = tempfile.mkdtemp(prefix="labbook-demo-")
            stack.callback(_remove, folder)
            with tarfile.open(ARCHIVE) as archive:
                archive.extractall(folder, filter="data")
        except (OSError, tarfile.TarError) as error:
            raise StoreError(f"the recorded book cannot be unpacked: {error}") from error
        yield Path(folder) / "digits" / ".labbook"


def _remove(folder: str) -> None:
    """Remove it, again where the reader has put a file into it meanwhile."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.05)
