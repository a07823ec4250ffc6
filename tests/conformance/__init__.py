"""Each output through programs that are not ours."""
