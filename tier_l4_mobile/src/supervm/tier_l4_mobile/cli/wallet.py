"""``supervm wallet``: make, import, show, unlock, lock (decisions.md, Keys and accounts)."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import click

from supervm.common.cli.numbers import WholeNumber
from supervm.common.cli.output import columns, emit, json_option
from supervm.common.errors import InputError
from supervm.common.host.config import CONFIG_FILE
from supervm.common.host.genesis_file import load_chain
from supervm.common.text.textfile import read_text
from supervm.common.wallet import WALLET_FILE, Wallet, change_passphrase, create_wallet, unlock_wallet
from supervm.common.wallet.book import WordBook
from supervm.protocol.base.address import encode_address

from ..config import mobile_options
from ..messages import Lock, Unlock
from ..options import ACCOUNTS_MAX
from .access import (
    NoOwner,
    RequestRefused,
    ask_owner,
    config_of,
    new_passphrase_of,
    passphrase_of,
    passphrase_option,
)

_ENTROPY_BYTES = {12: 16, 15: 20, 18: 24, 21: 28, 24: 32}
_WORDS_BYTES_MAX = 1 << 16

_WORDS_CHARS_MAX = 4_096

_folder = click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The folder that holds the wallet.",
)
_test = click.option(
    "--test", is_flag=True, help="Print addresses of test networks (tsvm1...), where no genesis file says so already."
)


@click.group()
def wallet() -> None:
    """Make, import, show or lock a wallet: BIP-39 words, encrypted at rest, account keys by SLIP-0010."""


@wallet.command(epilog="Example: supervm wallet new --dir phone --words 24")
@_folder
@click.option(
    "--words",
    type=click.Choice([str(count) for count in _ENTROPY_BYTES]),
    default="24",
    show_default=True,
    help="How many words.",
)
@passphrase_option
@_test
@json_option
def new(directory: Path, words: str, passphrase_file: Path | None, test: bool, as_json: bool) -> None:
    """Make a new wallet and show its words, once: whoever has them has the money, so write them on paper."""
    entropy = secrets.token_bytes(_ENTROPY_BYTES[int(words)])
    test = _is_test(directory, test)  # first: a wallet whose words were never shown helps nobody
    passphrase = passphrase_of(passphrase_file, new=True)
    shown = create_wallet(directory / WALLET_FILE, passphrase, words=None, entropy=entropy)
    address = _address(Wallet(shown), 0, test)
    emit(
        {"address": address, "words": shown},
        as_json=as_json,
        lines=[
            "Write these words on paper; they are not shown again unless you export them:",
            "",
            f"  {shown}",
            "",
            f"address of account 0: {address}",
        ],
    )


@wallet.command("import", epilog="Example: supervm wallet import --dir phone --words-file words.txt")
@_folder
@click.option(
    "--words-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the words [default: you are asked].",
)
@passphrase_option
@_test
@json_option
def import_(directory: Path, words_file: Path | None, passphrase_file: Path | None, test: bool, as_json: bool) -> None:
    """Take over a wallet from its BIP-39 words."""
    if words_file is None:
        words = _typed_words()
    else:
        words = read_text(words_file, what="the words", bytes_max=_WORDS_BYTES_MAX)
    test = _is_test(directory, test)
    passphrase = passphrase_of(passphrase_file, new=True)
    taken = create_wallet(directory / WALLET_FILE, passphrase, words=words, entropy=None)
    address = _address(Wallet(taken), 0, test)
    emit({"address": address}, as_json=as_json, lines=[f"imported; address of account 0: {address}"])


@wallet.command(epilog="Example: supervm wallet address --dir phone --account 1")
@_folder
@click.option("--account", type=WholeNumber(0, 2**31 - 1), default=0, show_default=True, help="Account number.")
@passphrase_option
@_test
@json_option
def address(directory: Path, account: int, passphrase_file: Path | None, test: bool, as_json: bool) -> None:
    """Show the address of an account."""
    opened = unlock_wallet(directory / WALLET_FILE, passphrase_of(passphrase_file))
    text = _address(opened, account, _is_test(directory, test))
    emit({"account": account, "address": text}, as_json=as_json, lines=[text])


@wallet.command(epilog="Example: supervm wallet show --dir phone --json")
@_folder
@click.option("--accounts", type=WholeNumber(1, ACCOUNTS_MAX), help="How many accounts [default: as configured].")
@passphrase_option
@_test
@json_option
def show(directory: Path, accounts: int | None, passphrase_file: Path | None, test: bool, as_json: bool) -> None:
    """Show the accounts of the wallet; never its words."""
    opened = unlock_wallet(directory / WALLET_FILE, passphrase_of(passphrase_file))
    names: tuple[str, ...] = ()
    if (directory / CONFIG_FILE).exists():
        options = mobile_options(config_of(directory))
        accounts, names = accounts or options.accounts, options.names
    test = _is_test(directory, test)
    rows = [
        {
            "account": number,
            "name": names[number] if number < len(names) else None,
            "address": _address(opened, number, test),
        }
        for number in range(accounts or 1)
    ]
    emit(
        {"accounts": rows},
        as_json=as_json,
        lines=columns([(str(row["account"]), str(row["address"]), str(row["name"] or "")) for row in rows], right=(0,)),
    )


@wallet.command(epilog="Example: supervm wallet export --dir phone")
@_folder
@passphrase_option
@json_option
def export(directory: Path, passphrase_file: Path | None, as_json: bool) -> None:
    """Show the words of the wallet: whoever sees them has the money."""
    words = unlock_wallet(directory / WALLET_FILE, passphrase_of(passphrase_file)).words()
    emit({"words": words}, as_json=as_json, lines=[words])


@wallet.command(epilog="Example: supervm wallet unlock --dir phone")
@_folder
@passphrase_option
@json_option
def unlock(directory: Path, passphrase_file: Path | None, as_json: bool) -> int:
    """Open the wallet of the node that runs in the folder: it signs from now on."""
    return _ask(directory, Unlock(passphrase_of(passphrase_file)), as_json=as_json)


@wallet.command(epilog="Example: supervm wallet lock --dir phone")
@_folder
@json_option
def lock(directory: Path, as_json: bool) -> int:
    """Lock the wallet of the node that runs in the folder: it signs nothing, and still submits what is signed."""
    return _ask(directory, Lock(), as_json=as_json)


@wallet.command(epilog="Example: supervm wallet passwd --dir phone")
@_folder
@passphrase_option
@click.option(
    "--new-passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File whose one line is to open the wallet from now on [default: you are asked].",
)
@json_option
def passwd(directory: Path, passphrase_file: Path | None, new_passphrase_file: Path | None, as_json: bool) -> None:
    """Put another passphrase in place of the one that opens the wallet; a node that runs there may go on running.

    The words stay what they are, and copies of the folder that were made before still open with the old passphrase.
    """
    old = passphrase_of(passphrase_file)
    change_passphrase(directory / WALLET_FILE, old, new_passphrase_of(new_passphrase_file))
    emit({"changed": True}, as_json=as_json, lines=["the wallet has another passphrase now"])


def _ask(directory: Path, request: Unlock | Lock, *, as_json: bool) -> int:
    """Ask the node for its wallet's lock; return the command's exit status."""
    try:
        value = ask_owner(directory, request)
    except NoOwner as error:
        raise InputError(f"{directory}: no node runs there, so there is no wallet to open or lock") from error
    except RequestRefused as error:
        emit({"refused": str(error)}, as_json=as_json, lines=[str(error)])
        return 1
    left_s = value["locks_in_s"]
    line = "the wallet is locked" if value["locked"] else "the wallet is open"
    if left_s is not None:
        line += f"; it locks in {left_s} s unless it is used"
    emit(value, as_json=as_json, lines=[line])
    return 0


def _typed_words() -> str:
    """Ask for the words on a terminal until they are right, or take one line of standard input; nothing is echoed."""
    if sys.stdin.isatty():
        while True:
            text: str = click.prompt("Words", hide_input=True, err=True)
            review = WordBook().review(text)
            if not review.fault:
                return text
            click.echo(review.sentence, err=True)  # with the word: it is its owner's terminal, and no log
    try:
        line = sys.stdin.readline(_WORDS_CHARS_MAX)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"standard input: the words cannot be read: {error}") from error
    if not line.strip():
        raise InputError(
            "there is no terminal to ask for the words: give --words-file FILE or a line on standard input, and the "
            "passphrase by --passphrase-file FILE or SUPERVM_PASSPHRASE"
        )
    return line


def _is_test(directory: Path, test: bool) -> bool:
    """Return whether addresses are a test network's: as the folder's genesis file says, or `test` where there is none.

    Raises:
        InputError: the configuration or the genesis file is there but cannot be read.
    """
    if (directory / CONFIG_FILE).exists():
        genesis = config_of(directory).genesis
        if genesis.exists():
            return load_chain(genesis).parameters.test_network
    return test


def _address(opened: Wallet, account: int, test: bool) -> str:
    """Return an account's address."""
    return encode_address(opened.account(account).public, test=test)
