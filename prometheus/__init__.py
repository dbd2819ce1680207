"""Recording and alert rules, made from one table of thresholds; `python -m prometheus.build` writes rules/*.yml."""
