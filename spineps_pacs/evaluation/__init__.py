"""Evaluation: masks beside a reference, by the measures and in the table layouts of the SPINEPS paper."""
