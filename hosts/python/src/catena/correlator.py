"""A correlator in a sandbox of its own."""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import wasmtime

from .component import EPOCH, Component, export, shared
from .errors import CatenaError, Fault, InvalidArgument, LimitExceeded, Trapped, fault
from .outcome import Finding, Metric, Outcome, Rejection, Route, Unrecognised


class Clock:
    """The type of :data:`CLOCK`."""


#: Stands for the time of the call.
CLOCK: Final = Clock()

#: A batch of records: text, or bytes in any form.
Batch = str | bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the sandbox. A call that exceeds one raises :class:`Trapped`."""

    #: The longest call, in seconds.
    call_seconds: float = 10.0
    #: Linear memory, in bytes.
    memory_bytes: int = 1 << 30


class Correlator:
    """The correlation of one stream, with its state, in a sandbox of its own. Threads may share it; calls take turns."""

    def __init__(
        self,
        config: Mapping[str, Any] | str | None = None,
        *,
        checkpoint: bytes | str | None = None,
        component: Component | None = None,
        limits: Limits = Limits(),
    ) -> None:
        """Opens a correlator: with empty state, or one that continues from a checkpoint.

        ``config`` is a mapping or JSON text, see docs/configuration.md. ``checkpoint`` comes from :meth:`checkpoint` of this
        or any other host, as bytes or in base64.

        Raises :class:`InvalidConfig` or :class:`InvalidCheckpoint`.
        """
        if config is None:
            config = "{}"
        self.config = config if isinstance(config, str) else json.dumps(config)
        self._component = component or shared()
        self._limits = limits
        self._lock = threading.Lock()
        self._store = wasmtime.Store(self._component.engine)
        self._store.set_limits(memory_size=limits.memory_bytes)
        self._store.set_epoch_deadline(self._epochs())
        self._instance = self._component.instantiate(self._store)
        self._functions: dict[str, Any] = {}
        self._handle: Any = None
        #: Why no call can be made any more.
        self._ended: CatenaError | None = None
        if checkpoint is None:
            self._handle = self._call("[static]correlator.open", self.config)
        else:
            # Bindings for Python carry text hundreds of times faster than bytes.
            if isinstance(checkpoint, bytes):
                checkpoint = b64encode(checkpoint).decode()
            self._handle = self._call("[static]correlator.resume", self.config, checkpoint)
        #: The length in bytes of the longest batch.
        self.batch_limit: int = self._method("batch-limit")

    def process(self, batch: Batch, now_ms: int | None | Clock = CLOCK) -> Outcome:
        """Processes a whole batch or, with an exception, none of it.

        ``now_ms`` is the time in milliseconds since 1970, by which records dated in the future are recognised: the clock's
        unless given. ``None``: no date is too far ahead.

        Raises :class:`LimitExceeded` or :class:`InvalidArgument`, after which the correlator is as before, and
        :class:`Trapped`, after which it is unusable.
        """
        if isinstance(now_ms, Clock):
            now_ms = time.time_ns() // 1_000_000
        data, text = self._batch(batch)
        answer = self._method("process", data if text is None else text, now_ms)
        return _outcome(answer, data)

    def route(self, batch: Batch, partitions: int) -> list[Route]:
        """Splits a batch into runs, each for the correlators of some partitions, see ``route`` in the contract."""
        if not 0 <= partitions < 1 << 32:
            raise InvalidArgument("partitions", f"expected a number of 32 bits, not {partitions}")
        data, text = self._batch(batch)
        routes = self._method("route", data if text is None else text, partitions)
        return [Route(route.start, route.end, route.records, tuple(route.partitions)) for route in routes]

    def checkpoint(self) -> bytes:
        """Everything that it takes to continue from here, in any host."""
        text = self._method("checkpoint", "base64")
        return b64decode(text)

    def metrics(self) -> list[Metric]:
        """All counters and gauges; the component's description has their units and meanings."""
        return [
            Metric(metric.name, metric.kind, dict(metric.labels), metric.value) for metric in self._method("metrics")
        ]

    def join_annotations(self, texts: Sequence[str]) -> str:
        """Joins what the correlators of several partitions insert into one record."""
        joined = self._call("join-annotations", list(texts))
        assert isinstance(joined, str)
        return joined

    def close(self) -> None:
        """Frees the state. Closing again does nothing."""
        with self._lock:
            if self._ended is None:
                self._end(CatenaError("the correlator is closed"))

    def __enter__(self) -> Correlator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _batch(self, batch: Batch) -> tuple[bytes, str | None]:
        """A batch as bytes, and as text if it is UTF-8: bindings for Python carry text hundreds of times faster."""
        text: str | None
        if isinstance(batch, str):
            try:
                data, text = batch.encode(), batch
            except UnicodeEncodeError as error:
                raise InvalidArgument("batch", f"expected text that UTF-8 can encode: {error}") from error
        else:
            # The limit comes before any copy.
            length = batch.nbytes if isinstance(batch, memoryview) else len(batch)
            if length > self.batch_limit:
                raise self._too_long(length)
            data = bytes(batch)
            try:
                text = data.decode()
            except UnicodeDecodeError:
                text = None
        if len(data) > self.batch_limit:
            raise self._too_long(len(data))
        return data, text

    def _too_long(self, length: int) -> LimitExceeded:
        return LimitExceeded("batch", f"the batch has {length} bytes, the limit is {self.batch_limit}")

    def _method(self, name: str, *arguments: Any) -> Any:
        return self._call(f"[method]correlator.{name}", *arguments, on_handle=True)

    def _call(self, name: str, *arguments: Any, on_handle: bool = False) -> Any:
        with self._lock:
            if self._ended is not None:
                raise self._ended
            function = self._functions.get(name)
            if function is None:
                function = self._functions[name] = export(self._store, self._instance, name)
            self._store.set_epoch_deadline(self._epochs())
            if on_handle:
                arguments = (self._handle, *arguments)
            try:
                with self._component._epochs:
                    answer = function(self._store, *arguments)
            except wasmtime.WasmtimeError as error:
                trapped = Trapped(f"the component failed: {self._explain(str(error))}")
                self._end(Trapped(f"the correlator was discarded: {trapped}"))
                raise trapped from error
        return _result(answer)

    def _epochs(self) -> int:
        return int(self._limits.call_seconds / EPOCH) + 1

    def _explain(self, error: str) -> str:
        cause = error.rsplit("Caused by:", 1)[-1].strip()
        if cause.endswith("interrupt"):
            return f"the call took longer than {self._limits.call_seconds} s"
        return cause

    def _end(self, why: CatenaError) -> None:
        """Discards the whole instance: after a trap, nothing in it can be trusted."""
        self._ended = why
        self._functions = {}
        self._handle = self._instance = None
        self._store = None  # type: ignore[assignment]


def _result(answer: Any) -> Any:
    """Unpacks a `result` of the contract. Bindings tell its cases apart by their types where they can."""
    if getattr(answer, "tag", None) == "ok":
        return answer.payload
    if getattr(answer, "tag", None) == "err":
        raise fault(answer.payload)
    if hasattr(answer, "kind") and hasattr(answer, "message") and hasattr(answer, "path"):
        raise fault(answer)
    return answer


def _outcome(answer: Any, batch: bytes) -> Outcome:
    numbers = iter(answer.edits.places)
    text, at = answer.edits.text.encode(), 0
    edits = []
    for start, end, length in zip(numbers, numbers, numbers):
        edits.append((start, end, text[at : at + length]))
        at += length
    _check(edits, len(batch), at == len(text) and len(answer.edits.places) % 3 == 0)
    return Outcome(
        batch=batch,
        records=answer.records,
        matched=answer.matched,
        dropped=answer.dropped,
        edits=edits,
        findings=[_finding(finding) for finding in answer.findings],
        rejections=[Rejection(one.start, one.end, one.code, one.detail) for one in answer.rejections],
        unrecognised=[Unrecognised(one.start, one.end, one.code) for one in answer.unrecognised],
        extra=answer.extra,
    )


def _finding(finding: Any) -> Finding:
    return Finding(
        id=finding.id,
        rule=finding.rule,
        severity_id=getattr(finding, "severity-id"),
        first_seen_ms=getattr(finding, "first-seen-ms"),
        last_seen_ms=getattr(finding, "last-seen-ms"),
        start=finding.start,
        end=finding.end,
        body=finding.body,
        extra=finding.extra,
    )


def _check(edits: list[tuple[int, int, bytes]], length: int, fits: bool) -> None:
    """Checks a component's answer before the batch is cut by it."""
    at = 0
    for start, end, _ in edits:
        fits = fits and at <= start <= end <= length
        at = end
    if not fits:
        raise CatenaError("the component's answer violates its contract: its edits do not fit the batch")
