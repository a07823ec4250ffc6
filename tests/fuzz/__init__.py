"""Broken files: a campaign against everything that reads DICOM."""
