"""Transactions, fees and what executing them does to the state."""
