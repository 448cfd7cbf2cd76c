"""Widgets of the app: plain Kivy in the colours and sizes of `theme`, the words of `texts` and the one shipped font.

Each takes the `look.Look` it is drawn with first and follows its changes: of theme, language and size of letters.
Whatever can be touched is a `target.Target` with a `key`: 48 dp at least, reached by the keyboard, found by tests.
"""
