"""Content-Encoding of requests and responses.

clickhouse-connect sends one compressed frame for every Native block of 16,384 rows. The one-call decompressors of most
libraries stop after the first frame without an error. So a loop here decodes the frames. A body that ends inside a
frame is an error, and no row of it is stored.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cramjam
import lz4.frame

from devstack.clickhouse.errors import ServerError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd  # comes with clickhouse-connect

_SLICE = 1 << 20  # the bytes behind a frame are copied for each frame; slices keep that small


_DECODERS: dict[str, Callable[[], Any]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": zstd.ZstdDecompressor,
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "x-gzip": lambda: zlib.decompressobj(wbits=31),
    "deflate": zlib.decompressobj,
}


class _Lz4Encoder:
    def __init__(self) -> None:
        self._frame = lz4.frame.LZ4FrameCompressor()
        self._head = self._frame.begin()

    def compress(self, data: bytes) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._frame.compress(data))

    def flush(self) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._frame.flush())


class _BrotliEncoder:
    def __init__(self) -> None:
        self._stream = cramjam.brotli.Compressor(level=3)

    def compress(self, data: bytes) -> bytes:
        self._stream.compress(data)
        return bytes(self._stream.flush())

    def flush(self) -> bytes:
        return bytes(self._stream.finish())


# In the order of preference. Level 1 for gzip: both ends are this machine.
ENCODERS: dict[str, Callable[[], Any]] = {
    "lz4": _Lz4Encoder,
    "zstd": lambda: zstd.ZstdCompressor(level=1),
    "br": _BrotliEncoder,
    "gzip": lambda: zlib.compressobj(level=1, wbits=31),
    "deflate": lambda: zlib.compressobj(level=1),
}


def decode(chunks: list[bytes], encoding: str) -> list[bytes]:
    """The body's bytes, all frames of it.

    Raises:
        ServerError: the encoding is unknown, the bytes are not of it, or the last frame is cut.
    """
    if encoding in ("", "identity"):
        return chunks
    if encoding == "br":
        try:
            return [bytes(cramjam.brotli.decompress(b"".join(chunks)))]
        except cramjam.DecompressionError as error:
            raise ServerError(1001, f"brotli body: {error}", name="STD_EXCEPTION") from error
    if encoding not in _DECODERS:
        raise ServerError(48, f"Unknown compression method {encoding} in Content-Encoding")
    try:
        return list(_frames(chunks, _DECODERS[encoding], encoding))
    except (RuntimeError, zlib.error, zstd.ZstdError) as error:
        raise ServerError(1001, f"{encoding} body: {error}", name="STD_EXCEPTION") from error


def _frames(chunks: Iterable[bytes], new: Callable[[], Any], encoding: str) -> Iterator[bytes]:
    decoder = None
    for chunk in chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), _SLICE):
            left: Any = view[start : start + _SLICE]
            while left:
                decoder = decoder or new()
                if plain := decoder.decompress(left):
                    yield plain
                left, decoder = (decoder.unused_data, None) if decoder.eof else (b"", decoder)
    if decoder is not None:
        raise ServerError(33, f"Cannot read all data: the {encoding} body is cut", name="CANNOT_READ_ALL_DATA")


def choose(accepted: str) -> str:
    """The encoding for a response, from Accept-Encoding; empty = none."""
    offered = {word.split(";")[0].strip().lower() for word in accepted.split(",")}
    return next((name for name in ENCODERS if name in offered), "")
