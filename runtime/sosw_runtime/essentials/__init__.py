"""The four Lambdas: event in, policy, storage, metrics out."""
