"""How the embedded model is made: a pool of rendered spines, two small networks, their export and their examination."""
