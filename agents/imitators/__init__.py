"""Learners that imitate demonstrations, one file each."""
