"""The counting of votes at one validator, explored exhaustively: every order of every vote.

The other models deliver votes in bundles. This one justifies it: a validator whose votes arrive one by one, in any
order, some twice, some rival, holds the certificate of a statement exactly when votes of a quorum for it have arrived -
own vote included, the first of each signer only - and nothing but certificates moves it to another view, time-outs
apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from supervm.protocol.base.hashing import ZERO_HASH
from supervm.protocol.chain.header import genesis_block_header
from supervm.protocol.chain.votes import Vote

from .automaton import Automaton
from .simplex_adversary import BYZANTINE, CHAIN_ID, FINALIZE, NOTARIZE, NULLIFY, model_rules, model_vote, short
from .simplex_host import Host, Setup, Votes, host_mirror

State = tuple[int, tuple[int, ...]]
"""Local state of validator 0, and which votes of the menu have arrived, in their order."""
ONE, OTHER = bytes([1]) * 32, bytes([2]) * 32


class TallyModel:
    """Validator 0 of four in view 1, of which the others send votes; see `checker.Model`."""

    def __init__(self) -> None:
        rules = model_rules((BYZANTINE,))
        genesis = genesis_block_header(CHAIN_ID, 1000, ZERO_HASH)
        self.automaton: Automaton[Host] = Automaton(host_mirror(signers=False))
        self._setup = Setup(rules, genesis, 1)
        self._quorum = rules.validators.quorum
        self.menu: tuple[Vote, ...] = (
            *(model_vote(index, NOTARIZE, 1, ONE) for index in (1, 2, BYZANTINE)),
            model_vote(BYZANTINE, NOTARIZE, 1, OTHER),
            *(model_vote(index, NULLIFY, 1, ZERO_HASH) for index in (1, 2)),
            *(model_vote(index, FINALIZE, 1, ONE) for index in (1, 2)),
        )

    def initial(self) -> Iterable[State]:
        """Return the validator after its start."""
        host = Host(self._setup, 0)
        host.started()
        return [(self.automaton.add(host), ())]

    def steps(self, state: State) -> Iterator[tuple[int, State]]:
        """Return the arrival of each vote that has not arrived."""
        local, arrived = state
        for number, vote in enumerate(self.menu):
            if number not in arrived:
                yield number, (self.automaton.after(local, Votes((vote,))), (*arrived, number))

    def violation(self, state: State) -> str | None:
        """Compare what is held with a count made from scratch."""
        host = self.automaton.part(state[0])
        counted: dict[tuple[int, int], bytes] = {}
        for number in state[1]:
            vote = self.menu[number]
            counted.setdefault((int(vote.kind), vote.signer), vote.digest)
        counted.update(((int(item.kind), 0), item.digest) for item in host.sent if isinstance(item, Vote))
        round_ = host.core._rounds.get(1)
        for kind, digest in ((NOTARIZE, ONE), (NOTARIZE, OTHER), (NULLIFY, ZERO_HASH), (FINALIZE, ONE)):
            votes = sum(1 for key, name in counted.items() if key[0] == int(kind) and name == digest)
            if kind is FINALIZE:
                held = host.core.final.hash == digest
            else:
                certificate = None if round_ is None else round_.certificates.get(kind)
                held = certificate is not None and certificate.digest == digest
                if round_ is None:
                    continue  # final: nothing of the view is kept
            if held != (votes >= self._quorum):
                return f"{votes} votes {kind.name} for {short(digest)}, certificate held: {held}"
        certified = round_ is None or bool(round_.certificates)
        if (host.core.view > 1) != certified:
            return f"in view {host.core.view} with a certificate of view 1 held: {certified}"
        return None

    def describe(self, step: int) -> str:
        """Return a readable line."""
        vote = self.menu[step]
        return f"{vote.kind.name} of {vote.signer} for {short(vote.digest)} arrives"
