"""Tables of a miner's database: those of the ledger, and the changes of validators.

The mempool and open batches are not stored. An L2 promises nothing when it takes a transfer - R0 is the edge's, which
keeps the transfer on disk and submits it again - and whatever a lost batch held is batched again (consensus.md 3.9.5).
Edge registrations come again with every connection, over a link that only that edge can open.
"""

from __future__ import annotations

from supervm.common.ledger import LEDGER_TABLES
from supervm.common.validator_changes import CHANGE_TABLES

MINER_TABLES = (*LEDGER_TABLES, *CHANGE_TABLES)
"""Every table of an L2 node."""
