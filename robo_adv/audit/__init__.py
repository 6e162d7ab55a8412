"""The safety audit: one controller, every port of the closed loop, one report."""
