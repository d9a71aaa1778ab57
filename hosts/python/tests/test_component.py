"""The component, its cache and its description."""

from __future__ import annotations

import json

import pytest

import catena
from catena import component as loading


def test_it_is_compiled_once_and_then_loaded_from_the_cache(tmp_path):
    folder = tmp_path / "cache"
    assert not catena.Component(cache=folder).from_cache
    (code,) = folder.iterdir()
    assert catena.Component(cache=folder).from_cache
    code.write_bytes(b"damaged")
    again = catena.Component(cache=folder)
    assert not again.from_cache
    catena.Correlator(component=again).close()
    assert catena.Component(cache=folder).from_cache


def test_a_folder_that_others_can_write_to_is_not_used(tmp_path):
    tmp_path.chmod(0o777)
    assert not catena.Component(cache=tmp_path).from_cache
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_component_of_the_contract_is_refused():
    for bad in (b"", b"nonsense", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0"):
        with pytest.raises(catena.CatenaError, match="cannot be loaded"):
            catena.Correlator(component=catena.Component(bad, cache=None))


def test_it_describes_itself(component):
    description = json.loads(component.describe())
    assert description["contract"] == "catena:pipeline@1.0.0"
    assert "aws-snapshot-staging" in {rule["id"] for rule in description["rules"]}
    assert len(loading.built_in()) > 500_000
