from __future__ import annotations

import gzip
import random

import pytest
import zstandard

from dsync.codec import compression
from dsync.errors import DataError

RANDOM = random.Random(7)
CONTENTS = (b"", b"a", RANDOM.randbytes(300_000), b"x" * 3_000_000, b"abc" * 50_000 + RANDOM.randbytes(1000))
COMPRESSED = (compression.GZIP, compression.ZSTD)


def decompressed(kind: str, data: bytes, step: int) -> bytes:
    reader = compression.decompressor(kind, "some.file")
    pieces = [piece for at in range(0, len(data), step) for piece in reader.decompress(data[at : at + step])]
    reader.finish()
    assert all(0 < len(piece) <= compression.PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("kind", compression.NAMES)
@pytest.mark.parametrize("step", [1000, 65_536, 1 << 24])
def test_compressed_parts_one_after_another_are_one_file(kind: str, step: int) -> None:
    for first in CONTENTS:
        for second in CONTENTS:
            together = compression.compress(kind, first) + compression.compress(kind, second)
            assert decompressed(kind, together, step) == first + second


@pytest.mark.parametrize("kind", COMPRESSED)
def test_the_same_data_compress_to_the_same_bytes(kind: str) -> None:
    assert compression.compress(kind, CONTENTS[4]) == compression.compress(kind, CONTENTS[4])


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("cut", [0, 1, 2, 5, 17, -1, -3, -5000])
def test_an_end_in_the_middle_is_an_error_that_names_the_file(kind: str, cut: int) -> None:
    whole = compression.compress(kind, CONTENTS[4])
    with pytest.raises(DataError, match=r"some\.file ends in the middle"):
        decompressed(kind, whole[:cut], 1000)


@pytest.mark.parametrize("kind", COMPRESSED)
@pytest.mark.parametrize("step", [1, 100_000])
def test_what_follows_the_compressed_data_is_an_error(kind: str, step: int) -> None:
    with pytest.raises(DataError, match=r"some\.file"):
        decompressed(kind, compression.compress(kind, b"data") + b"trailing junk", step)


@pytest.mark.parametrize("kind", COMPRESSED)
def test_data_that_are_not_compressed_are_an_error(kind: str) -> None:
    with pytest.raises(DataError, match=r"some\.file is not"):
        decompressed(kind, b'{"plain": "text"}', 100)


@pytest.mark.parametrize("kind", COMPRESSED)
def test_a_changed_bit_is_an_error(kind: str) -> None:
    whole = bytearray(compression.compress(kind, CONTENTS[2]))
    whole[150_000] ^= 1
    with pytest.raises(DataError, match=r"some\.file"):
        decompressed(kind, bytes(whole), 65_536)


def test_zeros_that_pad_gzip_data_are_no_error() -> None:
    assert decompressed("gzip", gzip.compress(b"data") + bytes(1000), 100) == b"data"


@pytest.mark.parametrize("level", [1, 19])
@pytest.mark.parametrize("checksum", [False, True])
def test_zstd_frames_of_other_programs_are_read(level: int, checksum: bool) -> None:
    writer = zstandard.ZstdCompressor(level=level, write_checksum=checksum, write_content_size=False).compressobj()
    data = writer.compress(CONTENTS[2]) + writer.compress(CONTENTS[3]) + writer.flush()
    assert decompressed("zstd", data, 4096) == CONTENTS[2] + CONTENTS[3]


@pytest.mark.parametrize("step", [1, 3, 70_000])
def test_zstd_frames_without_data_are_passed_over(step: int) -> None:
    skipped = b"\x53\x2a\x4d\x18" + (200_000).to_bytes(4, "little") + b"q" * 200_000
    nothing = b"\x50\x2a\x4d\x18" + bytes(4)
    data = skipped + compression.compress("zstd", b"one") + nothing + compression.compress("zstd", b"two")
    assert decompressed("zstd", data, step) == b"onetwo"


def test_a_zstd_window_without_bound_is_refused_with_the_remedy() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=29)
    writer = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    data = writer.compress(RANDOM.randbytes(1 << 20)) + writer.flush()
    with pytest.raises(DataError, match="--long"):
        decompressed("zstd", data, 65_536)


def test_a_file_name_tells_its_compression() -> None:
    assert compression.split_name("people.csv.gz") == ("people.csv", "gzip")
    assert compression.split_name("PEOPLE.CSV.GZ") == ("PEOPLE.CSV", "gzip")
    assert compression.split_name("people.csv.zst") == ("people.csv", "zstd")
    assert compression.split_name("people.csv") == ("people.csv", "none")
    assert compression.split_name(".gz") == (".gz", "none")


@pytest.mark.parametrize("kind", compression.NAMES)
def test_the_first_bytes_show_the_compression(kind: str) -> None:
    assert compression.of_content(compression.compress(kind, b"data")) == kind
