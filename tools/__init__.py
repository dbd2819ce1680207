"""Tools of development: the generator of derived files, and the checks of the chart and the image."""
