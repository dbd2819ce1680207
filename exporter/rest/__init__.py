"""What is requested over REST, only if enabled: funding rates, prices of assets, and what API keys may do."""
