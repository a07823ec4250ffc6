"""spineps-pacs: a DICOM node that segments, labels and measures the spine with SPINEPS."""
