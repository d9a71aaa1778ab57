"""Streams of records: files, pipes, anything that gives bytes or lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Protocol

from .correlator import CLOCK, Clock
from .outcome import Outcome

#: Bytes that are read at a time, and about the length of a batch.
CHUNK = 1 << 20


class Processor(Protocol):
    """A correlator or a supervisor."""

    @property
    def batch_limit(self) -> int: ...

    def process(self, batch: bytes, now_ms: int | None | Clock = CLOCK) -> Outcome: ...


class Readable(Protocol):
    """A binary file, pipe or socket file."""

    def read(self, size: int, /) -> bytes: ...


class _Cutter:
    """Cuts what arrives into batches of whole lines."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def add(self, chunk: bytes) -> bytes:
        """The whole lines so far; the rest waits for its end."""
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._rest.append(chunk)
            return b""
        batch = b"".join([*self._rest, chunk[:end]])
        self._rest = [chunk[end:]] if end < len(chunk) else []
        return batch

    def end(self) -> bytes:
        """The last line, if nothing ends it."""
        rest, self._rest = self._rest, []
        return b"".join(rest)


def batches(source: Readable | Iterable[str | bytes], chunk: int = CHUNK) -> Iterator[bytes]:
    """Cuts a stream into batches of whole lines.

    ``source`` is a binary file, whose data are taken as they come (a pipe is not waited for until a batch is full), or an
    iterable of lines or other pieces.
    """
    cutter = _Cutter()
    for piece in _pieces(source, chunk):
        if batch := cutter.add(piece):
            yield batch
    if rest := cutter.end():
        yield rest


def _pieces(source: Readable | Iterable[str | bytes], chunk: int) -> Iterator[bytes]:
    # A buffered file waits for all that was asked for unless it is asked for what is there.
    read = getattr(source, "read1", None) or getattr(source, "read", None)
    if read is not None:
        while piece := read(chunk):
            if isinstance(piece, str):
                raise TypeError("expected a file that is open in binary mode")
            yield piece
        return
    gathered: list[bytes] = []
    size = 0
    for line in source:  # type: ignore[union-attr]
        piece = line.encode() if isinstance(line, str) else bytes(line)
        if not piece.endswith(b"\n"):
            piece += b"\n"
        gathered.append(piece)
        size += len(piece)
        if size >= chunk:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


def correlate(
    source: Readable | Iterable[str | bytes],
    correlator: Processor,
    now_ms: int | None | Clock = CLOCK,
    chunk: int = CHUNK,
) -> Iterator[Outcome]:
    """Processes a stream batch by batch.

    with open("audit.ndjson", "rb") as file:
        for outcome in catena.correlate(file, correlator):
            ...
    """
    for batch in batches(source, chunk):
        yield correlator.process(batch, now_ms)


async def acorrelate(
    source: asyncio.StreamReader | AsyncIterable[str | bytes],
    correlator: Processor,
    now_ms: int | None | Clock = CLOCK,
    chunk: int = CHUNK,
) -> AsyncIterator[Outcome]:
    """Processes an asynchronous stream batch by batch. Calls run on a thread, so the event loop is never held up."""
    cutter = _Cutter()
    async for piece in _apieces(source, chunk):
        if batch := cutter.add(piece):
            yield await asyncio.to_thread(correlator.process, batch, now_ms)
    if rest := cutter.end():
        yield await asyncio.to_thread(correlator.process, rest, now_ms)


async def _apieces(source: asyncio.StreamReader | AsyncIterable[str | bytes], chunk: int) -> AsyncIterator[bytes]:
    if isinstance(source, asyncio.StreamReader):
        while piece := await source.read(chunk):
            yield piece
        return
    async for line in source:
        piece = line.encode() if isinstance(line, str) else bytes(line)
        yield piece if piece.endswith(b"\n") else piece + b"\n"
