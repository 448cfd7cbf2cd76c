"""Payments at a fixed rate into a running network, whatever it answers, and what they cost (``bench network``)."""
