"""Benchmarks: CPU time compared with other clients and libraries (`make bench`), and the soak (`make soak`)."""
