"""What a switch is: a rule of the shipped code, broken from outside for the time of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

from supervm.protocol.base.errors import RemoteProtocolError

Apply = Callable[["Patcher"], None]


class Patcher:
    """Replaces attributes until the switch is off again.

    Args:
        stack: undoes.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replace an attribute that exists."""
        self._stack.enter_context(patch.object(owner, name, value))

    def wrap(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        """Replace a function: `around` gets the original as its first argument."""
        original = getattr(owner, name)

        def replaced(*args: Any, **options: Any) -> Any:
            return around(original, *args, **options)

        self.set(owner, name, replaced)

    def forgive(self, owner: Any, name: str, *reasons: str) -> None:
        """Let what a check refuses pass if the reason that it gives holds one of these texts."""

        def around(original: Any, *args: Any, **options: Any) -> Any:
            try:
                return original(*args, **options)
            except RemoteProtocolError as error:
                if not any(reason in error.reason for reason in reasons):
                    raise
                return None

        self.wrap(owner, name, around)


@dataclass(frozen=True, slots=True)
class Mutation:
    """A rule and how to break it.

    Attributes:
        name: for ``--mutate``.
        rule: what the shipped code does, and this breaks, with its place in the design.
        apply: breaks it.
        knobs: see `config.draw_config`.
        model: name of the fault of `supervm.sim.model` that breaks the same rule, for a switch that no seed is known
            to notice; empty: none.
        test: the test that fails with a rule broken that no run shows, as ``tests/file.py::name``: one that bears with
            more than a third of the weight, say; a name alone is one of tests/common/test_light_trust.py; empty: none.
        is_costly: whether only ``--mutate all`` plays it, since its seeds take too long for the test command.
    """

    name: str
    rule: str
    apply: Apply
    knobs: Mapping[str, Any] = field(default_factory=dict)
    model: str = ""
    test: str = ""
    is_costly: bool = False

    @property
    def test_id(self) -> str:
        """The test with its file, as pytest takes it; empty: none."""
        return self.test if "::" in self.test or not self.test else f"tests/common/test_light_trust.py::{self.test}"


MUTATIONS: Final[dict[str, Mutation]] = {}
"""By name; filled by the modules of this package."""


def mutation(
    name: str, rule: str, *, model: str = "", test: str = "", is_costly: bool = False, **knobs: Any
) -> Callable[[Apply], Apply]:
    """Register what breaks a rule."""

    def add(apply: Apply) -> Apply:
        MUTATIONS[name] = Mutation(name, rule, apply, knobs, model, test, is_costly)
        return apply

    return add


@contextmanager
def mutated(name: str | None) -> Iterator[Mapping[str, Any] | None]:
    """Break a rule for the time of the block; give its knobs. Without a name nothing is broken."""
    if name is None:
        yield None
        return
    switch = MUTATIONS[name]
    with ExitStack() as stack:
        switch.apply(Patcher(stack))
        yield switch.knobs


def nothing(*_args: Any, **_options: Any) -> None:
    """Stand in for a check, or for anything else that is left out."""
