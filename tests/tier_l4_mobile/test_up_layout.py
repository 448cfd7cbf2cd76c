"""What `supervm up` lays out for phones is what a phone's configuration allows."""

from __future__ import annotations

from pathlib import Path

from supervm.common.host.config import load_config
from supervm.common.up.layout import Counts, open_network
from supervm.tier_l4_mobile.config import mobile_options
from supervm.tier_l4_mobile.options import OPTIONS


def test_a_phone_that_no_name_lives_on_has_an_account_without_a_name(tmp_path: Path) -> None:
    """One name, a payment to oneself, and more phones than names: every phone's configuration is one it can read."""
    network = open_network(tmp_path, Counts(1, 1, 1, 3), ["alice"])
    for phone in network.counts.names(4):
        options = mobile_options(load_config(tmp_path / phone / "config.toml", tier=4, options=OPTIONS))
        assert options.accounts == max(1, len(network.accounts[phone]))
        assert list(options.names) == network.accounts[phone]
    again = open_network(tmp_path, None, ["alice", "bob", "carol"])
    assert len({again.wallets[name].address for name in ("alice", "bob", "carol")}) == 3
    assert again.accounts["l4-1"] == ["bob"]
