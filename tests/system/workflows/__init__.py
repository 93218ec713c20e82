"""Random workflows on real workers, beside a model of how each should end (networkx is the oracle)."""
