"""Batches in, edits and findings out."""

from __future__ import annotations

import threading

import pytest
from conftest import NOW, chain, lines

import catena


def rules(outcome: catena.Outcome) -> list[str]:
    return [finding.rule for finding in outcome.findings]


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview, bytes.decode])
def test_every_form_of_a_batch_gives_the_same(component, form):
    batch = lines(*chain())
    with catena.Correlator(component=component) as correlator:
        outcome = correlator.process(form(batch), NOW)
    assert rules(outcome) == ["aws-instance-created", "aws-snapshot-staging"]
    assert outcome.records == outcome.matched == 3
    assert outcome.output.count(b'"catena":{"matches":[') == 3
    assert outcome.findings[1].json()["finding_info"]["uid"] == outcome.findings[1].id


def test_filtering_removes_what_matches_nothing(component):
    batch = b'{"eventName":"DescribeInstances"}\n' + lines(chain()[0]) + b'{"eventName":"DescribeInstances"}\n'
    with catena.Correlator({"mode": "filter"}, component=component) as correlator:
        outcome = correlator.process(batch, NOW)
    assert (outcome.records, outcome.passed, outcome.dropped) == (3, 1, 2)
    assert outcome.output.startswith(b'{"eventVersion"') and outcome.output.count(b"\n") == 1


def test_bytes_that_are_no_utf_8_pass_unchanged(component):
    batch = b'{"note":"\xff\xfe"}\n' + lines(chain()[2])
    with catena.Correlator(component=component) as correlator:
        outcome = correlator.process(batch, NOW)
    assert outcome.output.startswith(b'{"note":"\xff\xfe"}\n')
    assert rules(outcome) == ["aws-instance-created"]


def test_offsets_count_bytes(component):
    text = '{"note":"é𝄞"}\nnonsense 𝄞\n'
    with catena.Correlator(component=component) as correlator:
        outcome = correlator.process(text, NOW)
    rejected = outcome.rejections[0]
    assert outcome.batch[rejected.start : rejected.end].decode() == "nonsense 𝄞"


def test_a_checkpoint_continues_in_another_correlator(component):
    with catena.Correlator(component=component) as first:
        first.process(lines(*chain()[:2]), NOW)
        saved = first.checkpoint()
    with catena.Correlator(checkpoint=saved, component=component) as second:
        assert "aws-snapshot-staging" in rules(second.process(lines(chain()[2]), NOW))


@pytest.mark.parametrize(
    ("config", "path"), [({"mode": "both"}, "mode"), ({"limits": {"pending": -1}}, "limits.pending"), ("nonsense", "")]
)
def test_an_invalid_configuration_names_its_place(component, config, path):
    with pytest.raises(catena.InvalidConfig) as raised:
        catena.Correlator(config, component=component)
    assert raised.value.path == path


def test_a_damaged_checkpoint_is_refused(component):
    for damaged in (b"nonsense", "not base64"):
        with pytest.raises(catena.InvalidCheckpoint):
            catena.Correlator(checkpoint=damaged, component=component)


def test_a_fault_leaves_the_correlator_as_it_was(component):
    with catena.Correlator({"limits": {"batch_bytes": 30}}, component=component) as correlator:
        with pytest.raises(catena.LimitExceeded):
            correlator.process(b'{"a":1}\n' * 10)
        for seconds in (0, 1_767_700_000, 1_767_700_000_000_000):
            with pytest.raises(catena.InvalidArgument):
                correlator.process(b"{}\n", seconds)
        with pytest.raises(catena.InvalidArgument):
            correlator.process("\ud800\n")
        assert correlator.process(b'{"a":1}\n').records == 1
        assert {metric.name: metric.value for metric in correlator.metrics()}["records"] == 1


def test_a_time_in_the_future_counts_only_with_a_clock(component):
    late = lines({**chain()[0], "eventTime": "2031-01-01T00:00:00Z"})
    for now, future in ((NOW, 1), (None, 0), (catena.CLOCK, 1)):
        with catena.Correlator(component=component) as correlator:
            correlator.process(late, now)
            assert {metric.name: metric.value for metric in correlator.metrics()}["future"] == future


def test_a_closed_correlator_refuses_calls(component):
    correlator = catena.Correlator(component=component)
    correlator.close()
    correlator.close()
    with pytest.raises(catena.CatenaError, match="closed"):
        correlator.process(b"{}\n")


def test_routes_and_their_partitions(component):
    batch = lines(*chain()) + b'{"eventName":"DescribeInstances"}\n'
    with catena.Correlator(component=component) as correlator:
        routes = correlator.route(batch, 4)
        assert [route.records for route in routes] == [3, 1]
        assert len(routes[0].partitions) == 1 and routes[1].partitions == ()
        for partitions in (0, -1, 1 << 32):
            with pytest.raises(catena.InvalidArgument):
                correlator.route(batch, partitions)


def test_threads_may_share_a_correlator(component):
    with catena.Correlator(component=component) as correlator:
        threads = [threading.Thread(target=correlator.process, args=(b'{"a":1}\n' * 100,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {metric.name: metric.value for metric in correlator.metrics()}["records"] == 800


def test_memory_stays_flat_over_many_correlators(component):
    resource = pytest.importorskip("resource")
    for round in range(60):
        with catena.Correlator(component=component) as correlator:
            correlator.process(lines(*chain()), NOW)
        if round == 20:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000, "KiB"
