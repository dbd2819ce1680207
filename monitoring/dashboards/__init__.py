"""Grafana dashboards, generated from one set of queries and panels."""
