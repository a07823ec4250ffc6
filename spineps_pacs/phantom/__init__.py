"""Parametric spines: their anatomy, labels, MR image, DICOM studies and truth."""
