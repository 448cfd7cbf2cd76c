"""The first run: a network, words that are new or known, a passphrase; one page a module."""
