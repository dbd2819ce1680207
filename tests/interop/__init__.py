"""Clients that others wrote, and what the tests of all of them share."""
