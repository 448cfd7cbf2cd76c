"""The edge's options and its command."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from supervm.common.errors import InputError
from supervm.common.host.config import NodeConfig, load_config
from supervm.common.parts.buckets import Rate
from supervm.common.parts.fee_policy import FeePolicy
from supervm.protocol.base.address import encode_address
from supervm.protocol.base.keys import SigningKey
from supervm.tier_l3_edge.cli import l3
from supervm.tier_l3_edge.commands import COMMANDS
from supervm.tier_l3_edge.config import edge_options
from supervm.tier_l3_edge.options import OPTIONS, EdgeOptions


def test_an_empty_table_gives_the_defaults() -> None:
    assert edge_options(NodeConfig(tier=3, directory=Path(), genesis=Path())) == EdgeOptions()


def test_the_table_sets_bounds_and_rates(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("tier = 3\n[l3]\nstore_max = 100\nreceipts_per_s = 5\nreceipts_burst = 6\n", encoding="utf-8")
    options = edge_options(load_config(file, tier=3, options=OPTIONS))
    assert options.store_max == 100
    assert options.rates["receipts"] == Rate(5, 6)


def test_fees_and_what_pays_nothing_are_set_by_the_table(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    payout = encode_address(SigningKey(bytes(32)).public, test=False)
    table = f'[l3]\nfees = "svm:10, {"ab" * 32}:3"\ncarry_unpaid = false\n'
    file.write_text(f'tier = 3\npayout = "{payout}"\n{table}', encoding="utf-8")
    options = edge_options(load_config(file, tier=3, options=OPTIONS))
    assert options.fees == FeePolicy({b"": 10, b"\xab" * 32: 3})
    assert not options.carry_unpaid
    file.write_text(f"tier = 3\n{table}", encoding="utf-8")
    with pytest.raises(InputError, match=r"config\.toml: \[l3\] carry_unpaid: false is not allowed without `payout`"):
        edge_options(load_config(file, tier=3, options=OPTIONS))


def test_a_list_of_fees_that_cannot_be_read_is_an_error_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('tier = 3\n[l3]\nfees = "svm"\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"config\.toml: \[l3\] fees: 'svm' is not allowed"):
        edge_options(load_config(file, tier=3, options=OPTIONS))


@pytest.mark.parametrize("line", ["store_max = 1", "cache_bytes_max = 1", "accounts_per_s = 0", "cache_bytes = 1"])
def test_what_is_not_allowed_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"tier = 3\n[l3]\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=line.split(" ", maxsplit=1)[0]):
        load_config(file, tier=3, options=OPTIONS)


def test_the_command_is_offered_and_has_help_with_an_example() -> None:
    assert COMMANDS[0].load() is l3
    result = CliRunner().invoke(l3, ["run", "--help"])
    assert result.exit_code == 0
    assert "Example: supervm l3 run" in result.output


def test_an_edge_that_is_to_be_found_says_where(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('tier = 3\n[l3]\nfind_peers = true\nregion = "eu"\nendpoints = "20.1.2.3:4301"\n')
    options = edge_options(load_config(file, tier=3, options=OPTIONS))
    assert (options.find_peers, options.region, options.endpoints) == (True, "eu", ("20.1.2.3:4301",))
    file.write_text('tier = 3\n[l3]\nendpoints = "nowhere"\n')
    with pytest.raises(InputError, match=r"\[l3\] endpoints: 'nowhere': an endpoint is scheme:rest or host:port"):
        edge_options(load_config(file, tier=3, options=OPTIONS))
