"""What can go wrong."""

from __future__ import annotations

from typing import Any


class CatenaError(Exception):
    """Any error of this package."""


class Fault(CatenaError):
    """The component refused a call. Nothing was consumed, no state has changed, and the correlator remains usable."""

    #: The kind of the fault, as the contract spells it.
    kind = "other"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        #: The place of the problem: the path in a configuration, or the name of an argument; empty for the whole.
        self.path = path
        #: The problem in words, with what was expected.
        self.message = message


class InvalidConfig(Fault):
    """The configuration, or a rule in it, is invalid."""

    kind = "invalid-config"


class InvalidCheckpoint(Fault):
    """The checkpoint is damaged, truncated, or of an unknown version."""

    kind = "invalid-checkpoint"


class InvalidArgument(Fault):
    """Another argument has a value that it cannot have, such as a time in seconds."""

    kind = "invalid-argument"


class LimitExceeded(Fault):
    """An argument is outside the limits, such as a batch that is too long."""

    kind = "limit-exceeded"


class Trapped(CatenaError):
    """The component failed, because of a bug or a limit of the sandbox. Its correlator is no longer usable."""


_KINDS: dict[str, type[Fault]] = {
    kind.kind: kind for kind in (InvalidConfig, InvalidCheckpoint, InvalidArgument, LimitExceeded)
}


def fault(answer: Any) -> Fault:
    """The exception of a fault record."""
    return _KINDS.get(answer.kind, Fault)(answer.path, answer.message)
