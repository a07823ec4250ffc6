"""The durable chain of stages, and the processes that work on it; the only room that imports the engine."""
