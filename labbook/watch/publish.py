"""Writes a result where everybody finds it: all of it, or nothing, and the first one wins."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from labbook.watch.rows import Rows

__all__ = ["METADATA_KEY", "Unpublished", "publish", "to_table"]

METADATA_KEY = b"labbook"


class Unpublished(Exception):
    """The result could not be written; nothing of it is visible."""


def to_table(rows: Rows, metadata: dict[str, Any]) -> pa.Table:
    """Rows by example id, as `example` and the user's columns.

    A column of more than one number an example is a fixed-size list; its shape is in the
    metadata under `shapes`.
    """
    order = np.argsort(rows.ids, kind="stable")
    names, arrays, shapes = ["example"], [pa.array(rows.ids[order])], {}
    for name, values in rows.columns.items():
        names.append(name)
        if isinstance(values, list):
            arrays.append(pa.array([values[place] for place in order], type=pa.string()))
        elif isinstance(values, np.ma.MaskedArray):
            nulls = np.ma.getmaskarray(values)[order]
            arrays.append(pa.array(np.asarray(values.data)[order], mask=nulls))
        elif values.ndim == 1:
            arrays.append(pa.array(values[order]))
        else:
            shapes[name] = list(values.shape[1:])
            flat = np.ascontiguousarray(values[order]).reshape(-1)
            width = int(np.prod(values.shape[1:]))
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat), width))
    text = json.dumps({**metadata, "shapes": shapes})
    return pa.Table.from_arrays(arrays, names=names).replace_schema_metadata({METADATA_KEY: text})


def publish(table: pa.Table, target: Path, run_root: Path) -> bool:
    """Write `table` to `target`; False when a result of this key was there first.

    Raises `Unpublished` when the storage refuses.
    """
    try:
        return _publish(table, target, run_root)
    except OSError as error:
        raise Unpublished(f"the result could not be written to {target.parent}: {error}") from error


def _publish(table: pa.Table, target: Path, run_root: Path) -> bool:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.stem}.{os.uname().nodename}-{os.getpid()}.tmp"
    try:
        with open(temporary, "wb") as file:
            pq.write_table(
                table, file, compression="zstd", compression_level=3, write_page_checksum=True
            )
            file.flush()
            os.fsync(file.fileno())
        is_first = _link(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    _sync(target.parent)
    # readers look again at a run whose folder changed
    os.utime(run_root)
    return is_first


def _link(temporary: Path, target: Path) -> bool:
    try:
        os.link(temporary, target)
        return True
    except FileExistsError:
        # over NFS the reply may be lost although the link was made
        return os.stat(temporary).st_nlink > 1
    except PermissionError:
        # a filesystem without hard links: the lease already keeps others away
        if target.exists():
            return False
        os.rename(temporary, target)
        return True


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError:
        pass  # some filesystems have no fsync of folders
    finally:
        os.close(fd)
