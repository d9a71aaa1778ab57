"""A correlator that survives traps."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .component import Component, shared
from .correlator import CLOCK, Batch, Clock, Correlator, Limits
from .errors import Trapped
from .outcome import Metric, Outcome, Rejection

#: The code of rejections of records on which the component fails.
POISON = "poison"

#: After this many poison lines in one batch, the rest of it is rejected as poison too.
MAX_POISON = 16

log = logging.getLogger("catena")


@dataclass(slots=True)
class Health:
    """Failures since the start."""

    #: Instances that were replaced after a trap.
    restarts: int = 0
    #: Lines on which the component fails.
    poison: int = 0
    #: Restarts that lost state, because the batches since the last checkpoint could not be processed again.
    state_lost: int = 0


class Supervisor:
    """A :class:`Correlator` that is replaced when it fails.

    After a trap, a new instance resumes from the last checkpoint and processes the batches since again, whose outcomes are known
    already. Then the failed batch is tried once more; if it fails again, it is bisected down to the line at fault. That line is
    rejected with the code ``poison``; all others are processed.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | str | None = None,
        *,
        checkpoint: bytes | str | None = None,
        component: Component | None = None,
        limits: Limits = Limits(),
        replay_bytes: int = 64 << 20,
    ) -> None:
        """As for :class:`Correlator`. A checkpoint is taken when the batches since the last have ``replay_bytes``."""
        self._component = component or shared()
        self._limits = limits
        self._replay_limit = replay_bytes
        self._correlator = Correlator(config, checkpoint=checkpoint, component=self._component, limits=limits)
        self._config = self._correlator.config
        self._checkpoint = checkpoint
        self._replay: list[tuple[bytes, int | None]] = []
        self._replay_bytes = 0
        self._removes = _mode(self._config) != "enrich"
        self.health = Health()

    @property
    def batch_limit(self) -> int:
        """The length in bytes of the longest batch."""
        return self._correlator.batch_limit

    def process(self, batch: Batch, now_ms: int | None | Clock = CLOCK) -> Outcome:
        """Processes a batch as :meth:`Correlator.process` does, and recovers from a trap."""
        if isinstance(now_ms, Clock):
            now_ms = time.time_ns() // 1_000_000
        try:
            outcome = self._attempt(batch, now_ms)
        except Trapped as error:
            outcome = self._recover(_bytes(batch), now_ms, error)
        if self._replay_bytes >= self._replay_limit:
            self.checkpoint()
        return outcome

    def checkpoint(self) -> bytes:
        """Takes a checkpoint, from which the next instance resumes after a trap."""
        try:
            checkpoint = self._correlator.checkpoint()
        except Trapped as error:
            self._replace(error)
            checkpoint = self._correlator.checkpoint()
        self._checkpoint, self._replay, self._replay_bytes = checkpoint, [], 0
        return checkpoint

    def metrics(self) -> list[Metric]:
        """All counters and gauges of the component."""
        return self._correlator.metrics()

    def close(self) -> None:
        """Frees the state."""
        self._correlator.close()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _attempt(self, batch: Batch, now_ms: int | None) -> Outcome:
        outcome = self._correlator.process(batch, now_ms)
        self._replay.append((outcome.batch, now_ms))
        self._replay_bytes += len(outcome.batch)
        return outcome

    def _recover(self, batch: bytes, now_ms: int | None, error: Trapped) -> Outcome:
        self._replace(error)
        try:
            # The batch may not be the cause: a busy machine can exceed the deadline.
            return self._attempt(batch, now_ms)
        except Trapped as again:
            self._replace(again)
            merged = Outcome(batch)
            self._bisect(batch, 0, len(batch), now_ms, again, merged, self.health.poison + MAX_POISON)
            return merged

    def _bisect(
        self, batch: bytes, start: int, end: int, now_ms: int | None, error: Trapped, merged: Outcome, most: int
    ) -> None:
        middle = _middle(batch, start, end)
        if middle is None or self.health.poison >= most:
            self._quarantine(batch, start, end, error, merged)
            return
        for left, right in ((start, middle), (middle, end)):
            try:
                _add(merged, left, self._attempt(batch[left:right], now_ms))
            except Trapped as again:
                self._replace(again)
                self._bisect(batch, left, right, now_ms, again, merged, most)

    def _quarantine(self, batch: bytes, start: int, end: int, error: Trapped, merged: Outcome) -> None:
        while start < end:
            line_end = batch.find(b"\n", start, end) + 1 or end
            text = batch[start:line_end].rstrip()
            if text:
                self.health.poison += 1
                merged.records += 1
                merged.rejections.append(Rejection(start, start + len(text), POISON, str(error)))
            if self._removes:
                merged.edits.append((start, line_end, b""))
            start = line_end

    def _replace(self, error: Trapped) -> None:
        self.health.restarts += 1
        log.warning("the instance is replaced: %s", error)
        for _ in range(2):
            try:
                self._correlator = self._open(self._checkpoint)
                for batch, now_ms in self._replay:
                    self._correlator.process(batch, now_ms)
                return
            except Trapped as again:
                error = again
        self.health.state_lost += 1
        log.warning("the state since the last checkpoint is lost: %s", error)
        self._replay, self._replay_bytes = [], 0
        self._correlator = self._open(self._checkpoint)

    def _open(self, checkpoint: bytes | str | None) -> Correlator:
        return Correlator(self._config, checkpoint=checkpoint, component=self._component, limits=self._limits)


def _mode(config: str) -> str:
    settings = json.loads(config) if config.strip() else {}
    return str(settings.get("mode", "enrich"))


def _bytes(batch: Batch) -> bytes:
    return batch.encode() if isinstance(batch, str) else bytes(batch)


def _middle(batch: bytes, start: int, end: int) -> int | None:
    """The end of a line near the middle, with bytes on both sides of it."""
    half = (start + end) // 2
    at = batch.rfind(b"\n", start, half) + 1 or batch.find(b"\n", half, end) + 1
    return at if start < at < end else None


def _add(merged: Outcome, offset: int, part: Outcome) -> None:
    """Adds the outcome of a part of the batch that begins at ``offset``."""
    merged.records += part.records
    merged.matched += part.matched
    merged.dropped += part.dropped
    merged.edits += [(start + offset, end + offset, text) for start, end, text in part.edits]
    merged.findings += [replace(one, start=one.start + offset, end=one.end + offset) for one in part.findings]
    merged.rejections += [replace(one, start=one.start + offset, end=one.end + offset) for one in part.rejections]
    known = {one.code for one in merged.unrecognised}
    merged.unrecognised += [
        replace(one, start=one.start + offset, end=one.end + offset)
        for one in part.unrecognised
        if one.code not in known
    ]
