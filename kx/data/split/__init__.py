"""Which examples go where: one division for every source."""
