"""The dashboards for Grafana, made by Python from one set of queries and panels."""
