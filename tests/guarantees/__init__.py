"""The guarantees of the product, under faults."""
