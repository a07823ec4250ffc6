"""The networks; the only room that may import torch."""
