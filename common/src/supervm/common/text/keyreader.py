"""Public keys as people give them: 64 hexadecimal digits, an address or a node id, each a usable key in one role.

A key that no signature can ever match - blanks among the digits, a zero key, bytes that are no point of the curve -
and a key in a place that is another's are mistakes of the hand that a network cannot get rid of afterwards: a validator
that never votes, a miner that no validator lets in, money that nobody can spend. So each is refused where it is read,
with file, line and column. That a key is usable is one rule (`protocol.base.keys.key_problem`), which addresses,
node ids and genesis files go by as well.
"""

from __future__ import annotations

from collections.abc import Mapping

from supervm.protocol.base.address import decode_address, decode_node_id
from supervm.protocol.base.errors import LocalProtocolError
from supervm.protocol.base.keys import PUBLIC_BYTES, key_problem
from supervm.protocol.state.account import POOL_ACCOUNTS

from .csvfile import CsvRow
from .options import hex_bytes

_ACCOUNT = "an account"


class KeyReader:
    """Reads the keys of CSV rows and remembers where each stands, so that none gets a second role.

    Args:
        test_network: whose addresses are right.
        taken: keys that have a role already -> which, for people.
    """

    def __init__(self, *, test_network: bool, taken: Mapping[bytes, str] | None = None) -> None:
        self._test = test_network
        self._roles = dict(taken or {})

    def vote_key(self, row: CsvRow, column: str) -> bytes:
        """Read a validator's key, 64 hexadecimal digits.

        Raises:
            InputError: it is none, or has another role.
        """
        return self._alone(row, column, self._hex(row, column), "a validator's key")

    def node_id(self, row: CsvRow, column: str, whose: str) -> bytes:
        """Read a node id, ``svmnode1...`` or 64 hexadecimal digits; `whose` node it is, for people.

        Raises:
            InputError: it is none, or has another role.
        """
        text = row.values[column]
        if text.lower().startswith("svm"):
            try:
                found = decode_node_id(text)
            except LocalProtocolError as error:
                raise row.error(column, str(error)) from None
        else:
            found = self._hex(row, column, "svmnode1... or ")
        return self._alone(row, column, found, f"the node id of {whose}")

    def account(self, row: CsvRow, column: str) -> bytes:
        """Read an account, an address of this kind of network or 64 hexadecimal digits; it may stand in many places.

        Raises:
            InputError: it is none, a pool of the protocol, or the key of a node or a validator.
        """
        text = row.values[column]
        if text.lower().startswith(("svm", "tsvm")):
            try:
                found, test = decode_address(text)
            except LocalProtocolError as error:
                raise row.error(column, str(error)) from None
            if test is not self._test:
                raise row.error(
                    column,
                    f"an address of {'a test' if test else 'the main'} network; "
                    f"this one is {'a test' if self._test else 'a main'} network (see --test-network)",
                )
        else:
            found = self._hex(row, column, f"{'tsvm1' if self._test else 'svm1'}... or ", pools=True)
        role = self._roles.setdefault(found, _ACCOUNT)
        if role != _ACCOUNT:
            raise row.error(column, f"this is {role}; an account is a wallet's (supervm wallet address)")
        return found

    def _hex(self, row: CsvRow, column: str, others: str = "", *, pools: bool = False) -> bytes:
        found = hex_bytes(row.values[column], PUBLIC_BYTES)
        if found is None:
            raise row.error(column, f"{others}{2 * PUBLIC_BYTES} hexadecimal digits without blanks are needed")
        if pools and found in POOL_ACCOUNTS:
            raise row.error(column, "this is a pool of the protocol, which cannot be paid")
        problem = key_problem(found)
        if problem is not None:
            raise row.error(column, problem)
        return found

    def _alone(self, row: CsvRow, column: str, key: bytes, role: str) -> bytes:
        known = self._roles.get(key)
        if known is not None:
            raise row.error(column, f"this is {known} already; each key has one role only")
        self._roles[key] = f"{role} ({row.path.name}, line {row.line})"
        return key
