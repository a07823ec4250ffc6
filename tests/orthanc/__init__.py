"""The plugin in real Orthancs."""
