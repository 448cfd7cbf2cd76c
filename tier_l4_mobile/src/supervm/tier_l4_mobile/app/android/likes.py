"""What an Android phone likes: the language of its owner, and whether the screen is dark. Asked of Java."""

from __future__ import annotations

from typing import Any, Final

ACTIVITY_CLASS: Final = "org.kivy.android.PythonActivity"
"""The app's window, to Java."""
_NIGHT_MASK, _NIGHT_YES = 0x30, 0x20  # Configuration.UI_MODE_NIGHT_MASK, UI_MODE_NIGHT_YES


def activity() -> Any:
    """Return the app's window.

    Raises:
        ImportError: this is no app's process on Android.
    """
    from jnius import autoclass

    return autoclass(ACTIVITY_CLASS).mActivity


def system_language() -> str:
    """Return what the phone calls its language, for example ``zh_CN_#Hans``.

    Raises:
        ImportError: this is no app's process on Android.
    """
    from jnius import autoclass

    return str(autoclass("java.util.Locale").getDefault().toString())


def is_dark() -> bool:
    """Return whether the phone's screens are dark now.

    Raises:
        ImportError: this is no app's process on Android.
    """
    return bool(int(activity().getResources().getConfiguration().uiMode) & _NIGHT_MASK == _NIGHT_YES)
