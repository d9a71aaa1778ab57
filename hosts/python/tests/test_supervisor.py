"""A trap costs the line at fault and nothing else."""

from __future__ import annotations

import pytest
from conftest import NOW, chain, lines

import catena


def counted(supervisor: catena.Supervisor | catena.Correlator) -> int:
    return int.from_bytes(supervisor.checkpoint()[:4], "little")


def test_after_a_trap_a_correlator_refuses_every_call(traps):
    correlator = catena.Correlator(component=traps)
    correlator.process(b"{}\n", NOW)
    with pytest.raises(catena.Trapped, match="unreachable"):
        correlator.process(b"!\n", NOW)
    for call in (lambda: correlator.process(b"{}\n", NOW), correlator.checkpoint, correlator.metrics):
        with pytest.raises(catena.Trapped, match="discarded"):
            call()


def test_poison_lines_are_isolated_and_all_others_processed(traps):
    good = [b'{"a":%d}' % number for number in range(300)]
    good[7] = good[211] = b"{!}"
    batch = b"\n".join(good)
    with catena.Supervisor(component=traps) as supervisor:
        supervisor.process(b"{}\n" * 4, NOW)
        outcome = supervisor.process(batch, NOW)
        assert [batch[one.start : one.end] for one in outcome.rejections] == [b"{!}"] * 2
        assert {one.code for one in outcome.rejections} == {catena.POISON}
        assert supervisor.health.poison == 2 and supervisor.health.state_lost == 0
        # The last line has no line feed, which is what this component counts.
        assert counted(supervisor) == 4 + 300 - 2 - 1
        assert outcome.output == batch


def test_poison_leaves_the_stream_where_records_do(traps):
    with catena.Supervisor({"mode": "filter"}, component=traps) as supervisor:
        assert supervisor.process(b"{}\n{!}\n{}\n", NOW).output == b"{}\n{}\n"


def test_state_survives_a_trap_with_and_without_a_checkpoint(traps):
    with catena.Supervisor(component=traps) as supervisor:
        for round in range(4):
            supervisor.process(b"{}\n" * 5, NOW)
            if round == 1:
                supervisor.checkpoint()
            supervisor.process(b"!", NOW)
        assert counted(supervisor) == 20


def test_a_component_that_always_traps_is_not_restarted_for_every_line(traps):
    with catena.Supervisor(component=traps) as supervisor:
        outcome = supervisor.process(b"!\n" * 2_000, NOW)
        assert outcome.records == len(outcome.rejections) == 2_000
        assert supervisor.health.restarts < 150


def test_a_call_that_takes_too_long_is_interrupted_and_the_state_kept(component):
    limits = catena.Limits(call_seconds=0.02)
    with catena.Supervisor(component=component, limits=limits) as supervisor:
        outcome = supervisor.process(lines(*chain()) * 20_000, NOW)
        assert outcome.records == 60_000
        assert supervisor.health.restarts > 0


def test_memory_is_limited(component):
    correlator = catena.Correlator(component=component, limits=catena.Limits(memory_bytes=8 << 20))
    with pytest.raises(catena.Trapped):
        correlator.process(b'{"a":1}\n' * (2 << 20), NOW)
