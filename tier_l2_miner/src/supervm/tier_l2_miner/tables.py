"""Tables of a miner's database: those of the ledger, the changes of validators, and forks that edges have shown.

The mempool and open batches are not stored. An L2 promises nothing when it takes a transaction - R0 is the edge's,
which keeps the transaction on disk and submits it again - and whatever a lost batch held is batched again (consensus.md
3.9.5).
"""

from __future__ import annotations

from typing import Final

from supervm.common.parts.ledger_tables import LEDGER_TABLES
from supervm.common.parts.light_tables import FORKS
from supervm.common.parts.reach.tables import REACH_TABLES
from supervm.common.parts.validator_changes import CHANGE_TABLES

TABLES: Final = (*LEDGER_TABLES, *CHANGE_TABLES, FORKS, *REACH_TABLES)
"""Every table of an L2 node."""
