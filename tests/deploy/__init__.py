"""What a site runs: images, and how they are joined."""
