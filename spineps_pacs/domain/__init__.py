"""The plain things every room speaks of, and the sockets between the rooms."""
