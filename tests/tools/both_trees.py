"""Run a module's tests over the tree in C and over the one in Python: ``from both_trees import each_tree``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from supervm.protocol.state import plain_tree, trie

TREES = {"python": plain_tree.Tree()} | ({"c": trie._quad.Tree()} if trie._quad is not None else {})


@pytest.fixture(scope="module", autouse=True, params=sorted(TREES))
def each_tree(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trie, "NEW_TREE", TREES[request.param])
        yield
