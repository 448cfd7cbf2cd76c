"""What `supervm up` keeps of the nodes' files between two runs; it takes the tiers' own keys to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervm.common.cli.registry import tier_options
from supervm.common.errors import InputError
from supervm.common.host.config import load_config
from supervm.common.up.layout import Counts, open_network


def test_what_the_owner_sets_between_two_runs_stays(tmp_path: Path) -> None:
    """Addresses are the run's own; the rest of a node's file is its owner's."""
    open_network(tmp_path, Counts(1, 1, 1, 1), ["alice"])
    path = tmp_path / "l3-0" / "config.toml"
    text = path.read_text()
    assert "# find_peers = false" in text
    changed = text.replace("# find_peers = false", "find_peers = true").replace("# logs_kept = 4", "logs_kept = 9")
    path.write_text(changed.replace('log_level = "info"', 'log_level = "debug"'))
    open_network(tmp_path, None, ["alice"])
    config = load_config(path, tier=3, options=tier_options(3))
    assert config.tier_options["find_peers"] is True
    assert config.tier_options["fees"] == "svm:1"
    assert (config.housekeeping["logs_kept"], config.log_level) == (9, "debug")
    assert "# backups_kept = 3" in path.read_text()
    path.write_text("tier = 3\nlog_level = loud\n")
    with pytest.raises(InputError, match=r"config.toml"):
        open_network(tmp_path, None, ["alice"])
    assert path.read_text() == "tier = 3\nlog_level = loud\n"
