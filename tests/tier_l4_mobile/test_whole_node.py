"""A whole phone with its driver and its services: the policy of its configuration, and what its machine says."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import trio
from phone_folder import PASSPHRASE, make_phone

from supervm.common.contract.core import Sensed
from supervm.common.host.config import PeerAddress
from supervm.common.host.open import open_node
from supervm.common.parts.participation import PASSIVE, STANDARD
from supervm.common.services.builtin import SENSORS
from supervm.common.services.lines import RequestRefused
from supervm.tier_l4_mobile.messages import Info, Pay, PaymentRow
from supervm.tier_l4_mobile.options import AUTO
from supervm.tier_l4_mobile.profile import PROFILE


async def test_the_table_of_a_configuration_rules_and_is_recorded_in_the_log(tmp_path: Path) -> None:
    config = dataclasses.replace(
        make_phone(tmp_path / "phone"),
        peers=(PeerAddress(None, "serial:/dev/a-secret-place"),),
        policy={"transports": "tcp", "when_unreachable": "read-only"},
    )
    with trio.fail_after(30):
        async with open_node(config, passphrase=PASSPHRASE, profile=PROFILE) as node:
            bob = (await node.request(Info()))["accounts"][0]["address"]
            with pytest.raises(RequestRefused, match=r"policy\.when_unreachable: nobody above can be reached"):
                await node.request(Pay(PaymentRow(to=bob, amount=1, fee=1)))
            counts = (await node.request(Info()))["policy"]
    assert counts["link.deny.transports"] >= 1
    assert counts["write.read-only.when_unreachable"] == 1
    text = (config.directory / "node.log").read_text()
    lines = [line for line in map(json.loads, text.splitlines()) if line["event"] == "policy"]
    assert [(line["act"], line["verdict"], line["rule"]) for line in lines] == [
        ("link", "deny", "transports"),
        ("write", "read-only", "when_unreachable"),
    ]
    assert "a-secret-place" not in text


async def test_what_the_machine_says_reaches_the_core_and_only_where_it_matters(tmp_path: Path) -> None:
    plain = make_phone(tmp_path / "phone")
    assert not SENSORS.wanted(plain)
    config = dataclasses.replace(plain, tier_options={**plain.tier_options, "find_peers": True, "mode": AUTO})
    assert SENSORS.wanted(config)
    with trio.fail_after(30):
        async with open_node(config, passphrase=PASSPHRASE, profile=PROFILE, services=()) as node:
            told = (await node.request(Info()))["taking_part"]
            assert (told["mode"], told["choice"]) == (STANDARD, AUTO)
            node.sense(Sensed(memory_bytes=1 << 29))
            assert (await node.request(Info()))["taking_part"]["mode"] == PASSIVE


async def test_the_service_that_looks_tells_the_node(tmp_path: Path) -> None:
    plain = make_phone(tmp_path / "phone")
    config = dataclasses.replace(
        plain, tier_options={**plain.tier_options, "find_peers": True, "metered": "yes", "mode": AUTO}
    )
    with trio.fail_after(30):
        async with open_node(config, passphrase=PASSPHRASE, profile=PROFILE, services=(SENSORS,)) as node:
            while (await node.request(Info()))["taking_part"]["mode"] != PASSIVE:  # metered: known with the first look
                await trio.lowlevel.checkpoint()
