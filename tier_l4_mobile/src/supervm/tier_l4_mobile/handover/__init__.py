"""Between two phones: requests for a payment, and payments that are handed over without any network."""
