"""What the tests of the app's whole life do by touch again and again."""

from __future__ import annotations

from finger import Finger


async def unlock(finger: Finger, passphrase: str) -> None:
    """From the locked wallet to Home."""
    await finger.type("lock.secret", passphrase)
    await finger.tap("lock.open")
    await finger.until_shown("home.pay")


async def begin_to_pay(finger: Finger, to: str, amount: str) -> None:
    """From Home to the tap that pays."""
    await finger.tap("home.pay")
    await finger.type("pay.to", to)
    await finger.type("pay.amount", amount)
    await finger.tap("pay.next")
    await finger.until_shown("check.pay")
    await finger.tap("check.pay")


async def pay(finger: Finger, to: str, amount: str) -> None:
    """From Home to the page of a payment that is under way."""
    await begin_to_pay(finger, to, amount)
    await finger.until_shown("paying.done")
