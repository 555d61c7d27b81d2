"""The four Lambdas."""
