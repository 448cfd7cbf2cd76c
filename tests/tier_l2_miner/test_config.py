"""The options of `[l2]` and the defaults of the core are one and the same."""

from __future__ import annotations

import msgspec
import pytest
from click.testing import CliRunner

from supervm.common.errors import InputError
from supervm.common.parts.reach.options import ENDPOINT_OPTIONS, FIND_OPTIONS
from supervm.tier_l2_miner.cli import l2
from supervm.tier_l2_miner.commands import COMMANDS
from supervm.tier_l2_miner.options import OPTIONS, MinerOptions, miner_options


def test_every_option_is_configurable_and_has_the_cores_default():
    assert miner_options({}) == MinerOptions()
    finding = [*FIND_OPTIONS, *ENDPOINT_OPTIONS]
    assert list(OPTIONS) == [*(field.name for field in msgspec.structs.fields(MinerOptions)), *finding]
    assert all(option.accepts(option.default) for option in OPTIONS.values())
    assert miner_options({"batch_wait_us": 7}).batch_wait_us == 7


def test_fees_that_cannot_be_read_are_named_before_the_node_starts():
    assert miner_options({"fees": "svm:7"}).fees == "svm:7"
    with pytest.raises(InputError, match=r"table \[l2\], key fees: 'svm:0' is not allowed; write ASSET:LEAST"):
        miner_options({"fees": "svm:0"})


def test_the_command_is_offered_and_shows_an_example():
    (offer,) = COMMANDS
    assert offer.load() is l2
    result = CliRunner().invoke(l2, ["run", "--help"])
    assert result.exit_code == 0
    assert "Example: supervm l2 run --config" in result.output
