"""The recording and alert rules in prometheus/rules."""
