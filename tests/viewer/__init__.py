"""Results in a real viewer."""
