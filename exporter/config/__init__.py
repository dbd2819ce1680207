"""The configuration: exporter.yml or environment variables, key files and the share of a shard."""
