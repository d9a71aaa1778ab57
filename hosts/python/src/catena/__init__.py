"""Finds attack chains in streams of cloud audit records.

    import catena

    with catena.Correlator({"mode": "filter"}) as correlator:
        outcome = correlator.process(b'{"eventName": "RunInstances", ...}\\n')
        for finding in outcome.findings:
            print(finding.rule, finding.json()["finding_info"]["title"])
        sys.stdout.buffer.write(outcome.output)

A :class:`Correlator` runs the Catena component in a sandbox of its own. :class:`Supervisor` is one that survives traps.
:func:`correlate` and :func:`acorrelate` take files, pipes and other streams.
"""

from .component import Component
from .correlator import CLOCK, Clock, Correlator, Limits
from .errors import (
    CatenaError,
    Fault,
    InvalidCheckpoint,
    InvalidConfig,
    InvalidArgument,
    LimitExceeded,
    Trapped,
)
from .outcome import Finding, Metric, Outcome, Rejection, Route, Unrecognised
from .streams import acorrelate, batches, correlate
from .supervisor import POISON, Health, Supervisor

__all__ = [
    "CLOCK",
    "POISON",
    "CatenaError",
    "Clock",
    "Component",
    "Correlator",
    "Fault",
    "Finding",
    "Health",
    "InvalidArgument",
    "InvalidCheckpoint",
    "InvalidConfig",
    "LimitExceeded",
    "Limits",
    "Metric",
    "Outcome",
    "Rejection",
    "Route",
    "Supervisor",
    "Trapped",
    "Unrecognised",
    "acorrelate",
    "batches",
    "correlate",
]
