"""Benchmarks against peers: CPU time, as ratios measured in one run (`make bench`); and the soak (`make soak`)."""
