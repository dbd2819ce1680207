"""Recording and alert rules; `python -m monitoring.rules.build` writes prometheus/rules/*.yml."""
