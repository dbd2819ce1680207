"""Accounts: their snapshots, margin, risk and polling; nothing of sockets."""
