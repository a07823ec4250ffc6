"""The operator's pages, the REST interface, health and metrics; what they show comes through the board."""
