"""Makes dashboards and rules: thresholds and PromQL, and the files in grafana/ and prometheus/ made of them."""
