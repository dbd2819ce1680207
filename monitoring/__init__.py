"""Grafana dashboards and Prometheus rules: their thresholds, PromQL and generated files."""
