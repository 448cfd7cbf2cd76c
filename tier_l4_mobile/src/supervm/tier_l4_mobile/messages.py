"""What the owner of an L4 may ask of it over the control socket, and what is answered.

`to` and `source` are texts: an address; `source` may also be an account's name from the configuration, or empty for the
wallet's first account. Assets are ``svm`` (or empty) for the native one, else 64 hex digits. Amounts are grain, or the
smallest units of the asset that is named. Answers are JSON-able; a payment is shown as `payments.Payment.show` says.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from supervm.common.parts.directory.messages import FindNodes, ListPeers
from supervm.common.parts.reach.lan_found import LanFound
from supervm.protocol.state.leaves import NATIVE_NAME

from .wallet.payments import KEY_CHARS_MAX

CONTAINER_BYTES_MAX = 1 << 18
"""Longest hand-over: a hundred validators, sixteen payments and their proofs take some 40 kB."""
ROWS_MAX = 20_000
"""Most payments in one request."""

Name = Annotated[str, msgspec.Meta(max_length=128)]
Count = Annotated[int, msgspec.Meta(ge=1, le=ROWS_MAX)]

ALL_ASSETS = "all"
"""What `Balance` takes as its asset to mean everything that an account has."""


class MobileRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="request"):
    """Base of every request to an L4."""


class PaymentRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One payment of a `PayMany`.

    Attributes:
        to: the receiver's address.
        amount: of the asset.
        fee: of the asset of the fee.
        asset: what is moved.
        fee_asset: what the fee is paid in.
        source: who pays.
        key: the asker's own name for it; the same key never makes a second payment.
        validity_ms: how long it may execute, from now on; None for the node's default.
        payload_hex: up to 256 bytes as hex.
    """

    to: Name
    amount: int
    fee: int
    asset: Name = NATIVE_NAME
    fee_asset: Name = NATIVE_NAME
    source: Name = ""
    key: Annotated[str, msgspec.Meta(max_length=KEY_CHARS_MAX)] = ""
    validity_ms: Annotated[int, msgspec.Meta(ge=1)] | None = None
    payload_hex: Annotated[str, msgspec.Meta(max_length=512)] = ""


class Pay(MobileRequest, frozen=True, tag="pay"):
    """Queue one payment. Answer: the payment; `offline` keeps it on this device until a `Flush`."""

    row: PaymentRow
    offline: bool = False


class IssueRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new asset; the fields are those of a `PaymentRow`.

    Attributes:
        supply: all there will ever be of it, for the issuing account.
        fee: of the asset of the fee.
        fee_asset: what the fee is paid in.
        source: who issues it.
        key: the asker's own name for it; the same key never makes a second issue.
        validity_ms: how long it may execute, from now on; None for the node's default.
        payload_hex: up to 256 bytes as hex, for example what people are to call it.
    """

    supply: int
    fee: int
    fee_asset: Name = NATIVE_NAME
    source: Name = ""
    key: Annotated[str, msgspec.Meta(max_length=KEY_CHARS_MAX)] = ""
    validity_ms: Annotated[int, msgspec.Meta(ge=1)] | None = None
    payload_hex: Annotated[str, msgspec.Meta(max_length=512)] = ""


class Issue(MobileRequest, frozen=True, tag="issue"):
    """Queue the issue of a new asset. Answer: the payment; its `asset` is the new asset's id.

    An issue that has not left this device may have to be signed again, and then the asset has another id. `offline`
    keeps it on this device until a `Flush`.
    """

    row: IssueRow
    offline: bool = False


class PayMany(MobileRequest, frozen=True, tag="pay_many"):
    """Queue payments in one durable write. Answer: ``{"payments": [...]}`` in the order of the rows.

    A row that is refused is logged as a refused payment; the others go on.
    """

    rows: Annotated[tuple[PaymentRow, ...], msgspec.Meta(max_length=ROWS_MAX)]


class QueueList(MobileRequest, frozen=True, tag="queue_list"):
    """List payments, newest last. `statuses` empty: all. Answer: ``{"payments": [...], "total": n}``."""

    statuses: tuple[Name, ...] = ()
    source: Name = ""
    limit: Count = 1_000


class Flush(MobileRequest, frozen=True, tag="flush"):
    """Release what was kept offline and submit everything unfinished again.

    Answer: ``{"submitted": n, "open": n, "edge": node id or null}``.
    """


class Cancel(MobileRequest, frozen=True, tag="cancel"):
    """Cancel a payment that was never released. Answer: the payment."""

    id: Name


class ShowPayment(MobileRequest, frozen=True, tag="payment"):
    """Ask for one payment by an id it has or had. Answer: the payment."""

    id: Name


class Balance(MobileRequest, frozen=True, tag="balance"):
    """Ask for a proved balance; `address` empty: the wallet's first account, else an address or an account's name.

    Answer: ``{"address", "asset", "balance", "height", "age_s", "proof_verified", "exists", "next_seq", "reason"}``
    and, with `answer`, ``"answer_hex"``: the self-contained proof that ``supervm verify`` reads. Without an edge it is
    the last proof of an own account, `proof_verified` only while that is young enough; `balance` is null if there is
    none. `age_s` is null for what is dated ahead of this machine's clock, and `next_seq` for other assets than the
    native one.

    With `ALL_ASSETS` it is the native balance and, in addition, ``"holdings": [{"asset", "balance", "height"}, ...]``
    as the edge told them: each of them is proved, and nothing proves that there are no others.
    """

    address: Name = ""
    answer: bool = False
    asset: Name = NATIVE_NAME


class HandoverExport(MobileRequest, frozen=True, tag="handover_export"):
    """Ask for a container that another phone takes (transactions.md 8).

    An id is that of an own payment, which is released by this, with all before it that are not proved yet; or that of a
    payment that was taken from another phone: once it is proved its proof goes into the container, and before that the
    payment itself, to be carried on. Answer: ``{"container_hex", "bytes", "frames", "payments", "promises"}``: how many
    frames it has at least, and what is in it.
    """

    ids: Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=64)]


class HandoverTake(MobileRequest, frozen=True, tag="handover_take"):
    """Give what another phone handed over. Nothing in it is believed that is not proved or signed.

    Answer: ``{"promises", "payments", "notes"}``: payments of others with what is known of them, own payments that the
    container is about, and in sentences what could not be used.
    """

    container_hex: Annotated[str, msgspec.Meta(max_length=2 << 18)]


class HandoverList(MobileRequest, frozen=True, tag="handover_list"):
    """List what was handed over. Answer: ``{"given", "taken"}``: own payments, and payments of others, newest last."""

    limit: Count = 1_000


class HandoverDrop(MobileRequest, frozen=True, tag="handover_drop"):
    """Forget a payment of somebody else, whatever becomes of it. Answer: the payment as it was known."""

    id: Name


class PaymentsSince(MobileRequest, frozen=True, tag="payments_since"):
    """Ask for the payments that changed after `cursor` (0: all; null: none, to begin from now).

    Answer: ``{"payments": [...], "cursor": n}``.
    """

    cursor: Annotated[int, msgspec.Meta(ge=0)] | None = 0
    limit: Count = 2_000


class SearchPayments(MobileRequest, frozen=True, tag="search_payments"):
    """Look for payments, newest first, page by page.

    Answer: ``{"payments": [...], "before": n or null}``. A page looks at 256 payments at most, so it may be empty
    although there is more: whoever wants that asks again with its `before`; null says that there is none.

    Attributes:
        text: occurs in the id, key, amount in smallest units, asset, reason or receiver's address; empty: all.
        statuses: of these only; empty: all.
        receivers: addresses; of payments to these only; empty: all.
        source: the payer, as in a `PaymentRow`; empty: all.
        before: only payments with a lower number; None: from the newest on.
        limit: most payments of the page.
    """

    text: Name = ""
    statuses: Annotated[tuple[Name, ...], msgspec.Meta(max_length=16)] = ()
    receivers: Annotated[tuple[Name, ...], msgspec.Meta(max_length=1_000)] = ()
    source: Name = ""
    before: Annotated[int, msgspec.Meta(ge=1)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=256)] = 50


class IncomeList(MobileRequest, frozen=True, tag="income"):
    """List what came in, newest first, page by page: by how much proved balances have grown (`wallet.income`).

    Answer: ``{"income": [{"number", "to", "asset", "amount", "is_exact", "since_height", "height", "ts_ms"}, ...],
    "before": n or null}``. Nothing says who paid: a proof of a balance does not.

    Attributes:
        before: only rows with a lower number; None: from the newest on.
        limit: most rows of the page.
    """

    before: Annotated[int, msgspec.Meta(ge=1)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=256)] = 50


class PutContact(MobileRequest, frozen=True, tag="put_contact"):
    """Keep a contact, or change the one with this address. Answer: the contact, as `ContactList` shows it.

    Attributes:
        address: whose.
        name: what it is called; no two contacts have one name.
        note: anything else.
        watched: whether its balance is shown.
    """

    address: Name
    name: Annotated[str, msgspec.Meta(max_length=64)]
    note: Annotated[str, msgspec.Meta(max_length=256)] = ""
    watched: bool = False


class RemoveContact(MobileRequest, frozen=True, tag="remove_contact"):
    """Forget a contact. Answer: what it was."""

    address: Name


class ContactList(MobileRequest, frozen=True, tag="contacts"):
    """List the contacts by name. Answer: ``{"contacts": [{"address", "name", "note", "watched"}, ...], "max": n}``."""


class Info(MobileRequest, frozen=True, tag="info"):
    """Ask how the node stands.

    Answer: `InfoHead`, then payments by status, ``"edge"``, ``"terms"`` (``{"payout", "fees"}`` of the edge that
    payments are signed for), ``"fee_shares_bps"`` (what L1 to L4 get of every fee, in basis points), ``"income"`` (the
    number of the newest row of `IncomeList`), ``"trust"`` (`LightMemory.info`), ``"taking_part"`` (as
    `TakePart` answers) and accounts.
    """


PassphraseText = Annotated[str, msgspec.Meta(max_length=4_096)]


class Unlock(MobileRequest, frozen=True, tag="unlock"):
    """Open the wallet. Answer: ``{"locked": false, "locks_in_s": seconds or null}``.

    A passphrase that is wrong is counted on disk before it is answered; after some of them the next has to wait.
    """

    passphrase: PassphraseText

    def __repr__(self) -> str:
        return "Unlock(...)"


class Lock(MobileRequest, frozen=True, tag="lock"):
    """Lock the wallet: nothing is signed any more. Answer: ``{"locked": true, "locks_in_s": null}``."""


class Passwd(MobileRequest, frozen=True, tag="passwd"):
    """Put another passphrase in place of the one that opens the wallet. Answer: as `Unlock`; the lock stays as it is.

    Whether the new one is good enough is the asker's to see (`supervm.common.wallet.strength`).
    """

    old: PassphraseText
    new: PassphraseText

    def __repr__(self) -> str:
        return "Passwd(...)"


class NewestAnchor(MobileRequest, frozen=True, tag="newest_anchor"):
    """Ask for the newest header that is trusted, for another client to start from.

    Answer: ``{"anchor_hex", "chain_id", "height", "ts_ms"}``; refused while nothing is believed here.
    """


class TakePart(MobileRequest, frozen=True, tag="take_part"):
    """Say what this phone may do for others; it holds until something else is said, over restarts, too.

    Answer: ``{"mode", "choice", "reason", "answers", "carries", "punches", "asked", "found", "carried",
    "carried_bytes"}``: what it does now, what was wished, why; and what it has done: questions that it was asked, those
    to which something was known, and what of others it has given on.

    Attributes:
        mode: one of passive, standard, active, auto; empty: as the configuration says.
        battery_percent_min: below this charge it does nothing for others.
        on_battery: whether it may carry for others while it does not charge.
        data_mib_per_day_max: at most so much data of others in a day; 0: no bound.
    """

    mode: Literal["", "passive", "standard", "active", "auto"] = ""
    battery_percent_min: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    on_battery: bool = True
    data_mib_per_day_max: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


Request = (
    Pay
    | PayMany
    | Issue
    | QueueList
    | Flush
    | Cancel
    | ShowPayment
    | Balance
    | PaymentsSince
    | SearchPayments
    | IncomeList
    | PutContact
    | RemoveContact
    | ContactList
    | TakePart
    | Info
    | Unlock
    | Lock
    | Passwd
    | NewestAnchor
    | FindNodes
    | ListPeers
    | HandoverExport
    | HandoverTake
    | HandoverList
    | HandoverDrop
    | LanFound
)
"""Every request; told apart by the field ``request``."""


def decode_request(data: bytes) -> Any:
    """Read a request from its JSON.

    Raises:
        msgspec.ValidationError: what is wrong with it.
    """
    return msgspec.json.decode(data, type=Request)
