"""What the chart and the image are made and checked with; nothing of it is installed."""
