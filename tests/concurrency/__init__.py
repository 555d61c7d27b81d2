"""Processes that work on the same tasks at the same time, on AWS's own engine."""
