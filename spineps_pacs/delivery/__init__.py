"""Ways out: results to their destinations, and whether these keep them."""
