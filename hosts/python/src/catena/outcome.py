"""What comes out of a correlator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """A match of a rule: one record, or a chain of them."""

    #: The same for the same events and version of the rule, on every machine and in every replay: deduplicate by it.
    id: str
    rule: str
    #: As OCSF numbers it: 1 informational, 2 low, 3 medium, 4 high, 5 critical.
    severity_id: int
    #: The times of its first and last event, in milliseconds since 1970.
    first_seen_ms: int
    last_seen_ms: int
    #: Bytes ``start`` to ``end`` of the batch are the record that completed it.
    start: int
    end: int
    #: The finding as JSON text: an OCSF Detection Finding, or the configured format.
    body: str
    #: For later versions of the component.
    extra: str | None = None

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Rejection:
    """An unreadable record: bytes ``start`` to ``end`` of the batch."""

    start: int
    end: int
    #: The kind of problem, such as ``malformed-json``.
    code: str
    #: The problem in words.
    detail: str


@dataclass(frozen=True, slots=True)
class Unrecognised:
    """A record that is neither an event of a known cloud nor holds one: bytes ``start`` to ``end`` of the batch."""

    start: int
    end: int
    #: ``names-action`` or ``unknown``.
    code: str


@dataclass(frozen=True, slots=True)
class Route:
    """Bytes ``start`` to ``end`` of a batch are for the correlators of ``partitions``."""

    start: int
    end: int
    records: int
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Metric:
    """A counter or gauge."""

    name: str
    #: ``counter`` or ``gauge``.
    kind: str
    labels: dict[str, str]
    value: int


@dataclass(slots=True)
class Outcome:
    """The result of processing a batch."""

    #: The batch, as bytes. Offsets count these.
    batch: bytes
    records: int = 0
    matched: int = 0
    dropped: int = 0
    #: The edits: bytes ``start`` to ``end`` of the batch are replaced by a text. In ascending order, without overlap.
    edits: list[tuple[int, int, bytes]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    unrecognised: list[Unrecognised] = field(default_factory=list)
    extra: str | None = None

    @property
    def passed(self) -> int:
        """The number of records that were read and stay in the stream."""
        return self.records - self.dropped - len(self.rejections)

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The output in pieces, most of which share the memory of the batch."""
        view, at = memoryview(self.batch), 0
        for start, end, text in self.edits:
            if start > at:
                yield view[at:start]
            if text:
                yield text
            at = end
        if at < len(view):
            yield view[at:]

    @property
    def output(self) -> bytes:
        """The output stream: the batch with the edits made."""
        return b"".join(self.pieces())
