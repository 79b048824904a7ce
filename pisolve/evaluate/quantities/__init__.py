"""Maps of quantities compared: bias and precision by region, with units."""
