"""Write protocol.json (bytes and digests of every agreed type and message) and the vectors of the other subjects.

    python tests/vectors/regenerate.py

Of trees.json only the tries are written anew: its lists and histories stay as they are.

The files are the network's promise that two releases read and write the same bytes, accuse the same nodes (evidence)
and prove the same runs of the state (ranges). A change in them means that nodes of the old and the new release
disagree, or that two phones do (handover): regenerate only when the format is meant to change, and say so, with the
reason, in the commit that carries the new files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tools"))

from evidence_samples import evidence_vectors  # noqa: E402  # the line above makes it importable
from handover_vectors import handover_vectors  # noqa: E402
from protocol_vectors import protocol_vectors  # noqa: E402
from range_vectors import range_vectors  # noqa: E402
from reach_samples import reach_vectors  # noqa: E402
from tree_vectors import trie_vectors  # noqa: E402

if __name__ == "__main__":
    (HERE / "protocol.json").write_text(json.dumps(protocol_vectors(), indent=1) + "\n")
    (HERE / "evidence.json").write_text(json.dumps(evidence_vectors(), indent=1) + "\n")
    (HERE / "handover.json").write_text(json.dumps(handover_vectors(), indent=1) + "\n")
    (HERE / "ranges.json").write_text(json.dumps(range_vectors(), indent=1) + "\n")
    (HERE / "reach.json").write_text(json.dumps(reach_vectors(), indent=1) + "\n")
    trees = json.loads((HERE / "trees.json").read_text())
    (HERE / "trees.json").write_text(json.dumps(trees | {"trie": trie_vectors()}, indent=1) + "\n")
