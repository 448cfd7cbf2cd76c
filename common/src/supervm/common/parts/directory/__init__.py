"""The directory: which nodes there are, for whoever asks by name or by what they can do (network.md 2)."""
