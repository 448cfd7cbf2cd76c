"""Small exhaustive models of the shipped rules (consensus.md 6): nothing wrong is reachable, and every broken rule is.

`SUPERVM_MODEL_DEPTH` opens the longer lane: 1 runs the deep cases too, each up to 100,000 states times its value.
"""

import os
from dataclasses import dataclass, field

import pytest

from supervm.protocol.chain.votes import Vote
from supervm.sim.model.checker import explore
from supervm.sim.model.faults import Fault
from supervm.sim.model.mirror import Mirror, ModelError
from supervm.sim.model.payment_faults import CASES as PAYMENT_CASES
from supervm.sim.model.payment_faults import DEEP_CASES as PAYMENT_DEEP
from supervm.sim.model.payment_faults import FAULTS as PAYMENT_FAULTS
from supervm.sim.model.payment_model import PaymentModel
from supervm.sim.model.simplex_faults import CASES as SIMPLEX_CASES
from supervm.sim.model.simplex_faults import DEEP_CASES as SIMPLEX_DEEP
from supervm.sim.model.simplex_faults import FAULTS as SIMPLEX_FAULTS
from supervm.sim.model.simplex_faults import REDUNDANT
from supervm.sim.model.simplex_model import SimplexModel
from supervm.sim.model.tally_model import TallyModel
from supervm.tier_l1_super.consensus.simplex.rounds import Tally

DEPTH = int(os.environ.get("SUPERVM_MODEL_DEPTH", "0"))
STATES_MAX = 100_000 * DEPTH
deep = pytest.mark.skipif(not DEPTH, reason="longer lane: set SUPERVM_MODEL_DEPTH=1 or more")


def named(fault: Fault) -> str:
    return fault.name


@pytest.mark.parametrize("name", SIMPLEX_CASES)
def test_no_reachable_state_of_simplex_breaks_a_rule(name: str) -> None:
    outcome = explore(SimplexModel(SIMPLEX_CASES[name]))
    assert outcome.complete, str(outcome)


@pytest.mark.parametrize("name", PAYMENT_CASES)
def test_no_reachable_state_of_certificate_only_mode_breaks_a_rule(name: str) -> None:
    outcome = explore(PaymentModel(PAYMENT_CASES[name]))
    assert outcome.complete, str(outcome)


@pytest.mark.parametrize("fault", SIMPLEX_FAULTS, ids=named)
def test_a_broken_rule_of_simplex_is_noticed(fault: Fault) -> None:
    with fault.planted():
        outcome = explore(SimplexModel({**SIMPLEX_CASES, **SIMPLEX_DEEP}[fault.case]))
    assert outcome.violation is not None, f"{fault.name}: {outcome}"
    assert outcome.violation.startswith(fault.finds), str(outcome)


@pytest.mark.parametrize("fault", PAYMENT_FAULTS, ids=named)
def test_a_broken_rule_of_payments_is_noticed(fault: Fault) -> None:
    with fault.planted():
        outcome = explore(PaymentModel({**PAYMENT_CASES, **PAYMENT_DEEP}[fault.case]))
    assert outcome.violation is not None, f"{fault.name}: {outcome}"
    assert outcome.violation.startswith(fault.finds), str(outcome)


def test_votes_count_the_same_in_any_order() -> None:
    outcome = explore(TallyModel())
    assert outcome.complete, str(outcome)


def test_a_vote_that_counts_twice_is_noticed() -> None:
    put = Tally.put

    def put_twice(self: Tally, vote: Vote, *, checked: bool) -> None:
        put(self, vote, checked=checked)
        self._weights[vote.digest] += 1

    with Fault("tally", "one vote, one weight", ((Tally, "put", put_twice),), "", "").planted():
        outcome = explore(TallyModel())
    assert outcome.violation is not None
    assert outcome.violation.startswith("2 votes NOTARIZE")


def test_a_trace_leads_from_the_start_to_the_violation() -> None:
    fault = next(fault for fault in PAYMENT_FAULTS if fault.name == "slot-conflict")
    with fault.planted():
        outcome = explore(PaymentModel(PAYMENT_CASES[fault.case]))
    assert outcome.trace
    assert all("gets batch" in line for line in outcome.trace)
    assert "violation: S9" in str(outcome)


def test_two_searches_see_the_same() -> None:
    case = SIMPLEX_CASES["equivocation"]
    assert explore(SimplexModel(case)) == explore(SimplexModel(case))


def test_a_search_that_stops_at_its_bound_does_not_claim_to_be_complete() -> None:
    outcome = explore(SimplexModel(SIMPLEX_CASES["equivocation"]), states_max=50)
    assert (outcome.complete, outcome.violation) == (False, None)
    assert "bound reached" in str(outcome)


@dataclass(slots=True)
class Box:
    items: list[int] = field(default_factory=list)
    twin: list[int] | None = None


def test_copies_share_nothing_and_keep_what_is_one_object() -> None:
    items = [1]
    mirror = Mirror(mutable=(Box,))
    box = Box(items, items)
    copy = mirror.copy(box)
    assert mirror.freeze(copy) == mirror.freeze(box)
    copy.items.append(2)
    assert copy.twin is copy.items
    assert items == [1]
    assert mirror.freeze(copy) != mirror.freeze(box)


def test_a_class_that_nobody_listed_is_refused() -> None:
    with pytest.raises(ModelError, match="Box is neither"):
        Mirror(mutable=()).copy(Box())


@deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SIMPLEX_DEEP)
def test_deep_simplex(name: str) -> None:
    outcome = explore(SimplexModel(SIMPLEX_DEEP[name]), states_max=STATES_MAX)
    assert outcome.violation is None, str(outcome)


@deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", PAYMENT_DEEP)
def test_deep_payments(name: str) -> None:
    outcome = explore(PaymentModel(PAYMENT_DEEP[name]), states_max=STATES_MAX)
    assert outcome.violation is None, str(outcome)


@deep
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", REDUNDANT, ids=named)
def test_a_rule_that_stands_twice_may_break_once(fault: Fault) -> None:
    with fault.planted():
        outcome = explore(SimplexModel(SIMPLEX_CASES[fault.case]), states_max=STATES_MAX)
    assert outcome.violation is None, str(outcome)
