"""Imitation from demonstrations: data, discriminators, rewards and losses; knows no environment."""
