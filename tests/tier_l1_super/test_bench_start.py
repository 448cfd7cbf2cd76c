"""`bench start`: the folders that it makes are those of real validators, and a real process starts on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervm.common.bench.aged_node import make_node
from supervm.common.bench.start import start_once
from supervm.common.errors import CommonError
from supervm.common.host.config import load_any_config
from supervm.common.host.prepare import prepared
from supervm.common.host.profile import find_profile


@pytest.mark.parametrize(("accounts", "blocks"), [(3, 0), (20, 150)])
def test_a_node_of_any_age_stands_where_it_should(tmp_path: Path, accounts: int, blocks: int) -> None:
    config = load_any_config(make_node(tmp_path, accounts=accounts, blocks=blocks))
    with prepared(config, find_profile(1)) as made:
        assert made.core.height == blocks
        assert made.context.chain.genesis.allocations == accounts
        assert made.context.store.count("headers") == blocks
        assert not made.context.log_lost
        assert len(made.context.store.log()) > 0 or not blocks


@pytest.mark.processes
@pytest.mark.timeout(60)
def test_a_start_has_a_time_and_a_size(tmp_path: Path) -> None:
    config = make_node(tmp_path, accounts=5, blocks=20)
    start = start_once(config)
    assert 0 < start.cpu_s < 60
    assert 0 < start.wall_s < 60
    assert start.peak_bytes > 1 << 20


@pytest.mark.processes
@pytest.mark.timeout(60)
def test_a_validator_that_does_not_start_is_said(tmp_path: Path) -> None:
    config = make_node(tmp_path, accounts=5, blocks=0)
    (tmp_path / "genesis.cbor").write_bytes(b"no genesis")
    with pytest.raises(CommonError, match=r"the validator did not start: .*genesis.cbor"):
        start_once(config)
