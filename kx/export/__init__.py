"""Models that leave kx: raw input in, answers out, compared before they count."""
