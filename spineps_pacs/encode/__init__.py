"""Report to standard objects: SEG, SR, pictures and side files; the only room that imports highdicom."""
