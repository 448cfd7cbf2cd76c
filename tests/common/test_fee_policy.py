"""Which fees a node takes: reading the option, publishing, combining, refusing."""

from __future__ import annotations

import pytest
from chain_tools import make_test_chain

from supervm.common.parts.fee_policy import ANY_FEE, FEES_OPTION, FeePolicy, read_policy, read_terms
from supervm.protocol.base.errors import LocalProtocolError, RemoteProtocolError
from supervm.protocol.chain.genesis import genesis_asset_id
from supervm.protocol.state.leaves import NATIVE
from supervm.protocol.wire.payments import FEE_ASSETS_MAX, FeeTerms

CHAIN = make_test_chain(assets={"gold": {"alice": 100}})
GOLD, SILVER = genesis_asset_id("gold"), b"\xaa" * 32


def test_the_default_takes_any_fee_in_the_native_asset() -> None:
    assert read_policy(str(FEES_OPTION.default)) == ANY_FEE
    assert ANY_FEE.refusal(CHAIN.transaction("alice", bytes(32)).body) is None


def test_a_policy_is_read_in_any_order_and_published_ascending() -> None:
    policy = read_policy(f" {SILVER.hex()}:7, svm:1000 ")
    assert policy == FeePolicy({NATIVE: 1_000, SILVER: 7})
    terms = policy.terms(b"p" * 32)
    assert terms == FeeTerms(b"p" * 32, ((NATIVE, 1_000), (SILVER, 7)))
    assert read_terms(terms) == policy


@pytest.mark.parametrize("text", ["", "svm", "svm:0", "svm:x", "svm:1,svm:2", "gold:1", f"svm:{2**63}", "svm:\u0661"])
def test_a_wrong_option_is_said(text: str) -> None:
    with pytest.raises(LocalProtocolError, match=r"fees|no asset"):
        read_policy(text)


def test_too_many_assets_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match=f"at most {FEE_ASSETS_MAX}"):
        read_policy(",".join(f"{number:064x}:1" for number in range(1, FEE_ASSETS_MAX + 2)))


@pytest.mark.parametrize(
    "terms",
    [
        FeeTerms(b"", ((SILVER, 1), (NATIVE, 1))),
        FeeTerms(b"", ((SILVER, 1), (SILVER, 1))),
        FeeTerms(b"", ((b"x", 1),)),
        FeeTerms(b"x", ()),
    ],
)
def test_wrong_terms_are_the_peers_fault(terms: FeeTerms) -> None:
    with pytest.raises(RemoteProtocolError):
        read_terms(terms)


def test_a_refusal_names_what_would_be_taken() -> None:
    policy = FeePolicy({NATIVE: 10, GOLD: 2, SILVER: 3, b"\xff" * 32: 1})
    low = CHAIN.transaction("alice", bytes(32), fee=9).body
    other = CHAIN.transaction("alice", bytes(32), fee=9, fee_asset=b"\x11" * 32).body
    for body in (low, other):
        said = policy.refusal(body)
        assert said is not None
        assert said.startswith("fee-not-taken: takes at least 10 of svm or ")
        assert "or one of 2 more" in said
        assert len(said) <= 256
    assert policy.refusal(CHAIN.transaction("alice", bytes(32), fee=2, fee_asset=GOLD).body) is None
    assert FeePolicy({}).text == "takes no fee at present"


def test_what_both_take_is_what_the_cheapest_of_them_takes() -> None:
    own = FeePolicy({NATIVE: 10, GOLD: 2})
    assert own.with_those_of([]) == own
    assert own.with_those_of([FeePolicy({NATIVE: 5})]) == FeePolicy({NATIVE: 10})
    both = [FeePolicy({NATIVE: 50, GOLD: 9}), FeePolicy({NATIVE: 20}), FeePolicy({SILVER: 1})]
    assert own.with_those_of(both) == FeePolicy({NATIVE: 20, GOLD: 9})
    assert own.with_those_of([FeePolicy({SILVER: 1})]) == FeePolicy({})
