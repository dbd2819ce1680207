"""Development tools: the generator of derived files, and checks of the chart and the image."""
