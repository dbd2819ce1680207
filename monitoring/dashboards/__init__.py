"""Grafana dashboards, built from shared queries and panels."""
