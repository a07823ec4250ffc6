"""What must survive a power cut: datasets on disk, marks beside them, records in the database."""
