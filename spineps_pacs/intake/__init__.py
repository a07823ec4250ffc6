"""Ways in: every image enters through one door, and every series gets a verdict."""
