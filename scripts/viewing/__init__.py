"""Orthanc and OHIF on this machine: for `make viewer`, the demo and the tests that look at results as a reader does."""
