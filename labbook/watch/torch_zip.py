"""Is a `torch.save` file whole? (A Lightning `.ckpt` is one too.)

`torch.save` writes in place under the final name and the zip's end record last, so a file cut
anywhere lacks it. A save broken off by an exception still gets an end record, over missing
storages: the storage ids named in `data.pkl` are compared with the records that are there. The
bytes themselves are compared with their CRCs by the worker, before it loads them.
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from labbook.errors import DamagedFile
from labbook.watch import inert
from labbook.watch.identity import Tick, canonical, digest_of

__all__ = ["MAGIC", "check", "has_checksums", "records"]

MAGIC = b"PK\x03\x04"

_ITEM_BYTES = {
    "DoubleStorage": 8, "LongStorage": 8, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
    "FloatStorage": 4, "IntStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2, "ShortStorage": 2,
    "CharStorage": 1, "ByteStorage": 1, "BoolStorage": 1, "UntypedStorage": 1,
}  # fmt: skip


def check(path: Path, tick: Tick) -> str:
    """The digest of a whole file; raises `DamagedFile` saying what is missing."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = records(archive)
            is_checksummed = has_checksums(found)
            _check_storages(archive, found, path, is_checksummed)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise DamagedFile(
            f"the zip archive has no readable end ({error}): the file is cut short, "
            "or is still being written"
        ) from error
    if not is_checksummed:
        return digest_of(path, tick)
    listing = [(name, info.file_size, info.CRC) for name, info in sorted(found.items())]
    return f"zip:{hashlib.sha256(canonical(listing)).hexdigest()}"


def records(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The archive's records by name below its top folder, which is named after the file."""
    found = {}
    for info in archive.infolist():
        name = info.filename.partition("/")[2]
        # derived from the rest, and absent from older files
        if name != ".data/serialization_id":
            found[name] = info
    return found


def has_checksums(found: dict[str, zipfile.ZipInfo]) -> bool:
    """False for files written with `torch.serialization.set_crc32_options(False)`."""
    return all(info.CRC for info in found.values() if info.file_size)


def _check_storages(
    archive: zipfile.ZipFile,
    found: dict[str, zipfile.ZipInfo],
    path: Path,
    is_checksummed: bool,
) -> None:
    if "data.pkl" not in found:
        raise DamagedFile(f"{path.name} is a zip archive without data.pkl: not a torch.save file")
    # a checksum that was not written cannot be compared
    archive_info = found["data.pkl"]
    if not is_checksummed:
        archive_info.CRC = _crc_of(path, archive_info)
    with archive.open(archive_info) as pickled:
        _, storages = inert.read(pickled, f"data.pkl in {path.name}")
    for storage in storages:
        if len(storage) < 5 or storage[0] != "storage":
            continue
        _, kind, key, _, count = storage[:5]
        info = found.get(f"data/{key}")
        if info is None:
            raise DamagedFile(f"tensor storage {key} is missing: torch.save was broken off")
        wanted = _ITEM_BYTES.get(str(getattr(kind, "name", "")).rpartition(".")[2], 0) * int(count)
        if info.file_size < wanted:
            raise DamagedFile(
                f"tensor storage {key} has {info.file_size} of {wanted} bytes: "
                "torch.save was broken off"
            )


def _crc_of(path: Path, info: zipfile.ZipInfo) -> int:
    import struct
    import zlib

    with open(path, "rb") as file:
        file.seek(info.header_offset)
        header = file.read(30)
        name_bytes, extra_bytes = struct.unpack_from("<HH", header, 26)
        file.seek(info.header_offset + 30 + name_bytes + extra_bytes)
        return zlib.crc32(file.read(info.file_size))
