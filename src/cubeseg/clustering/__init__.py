"""Grouping: iterative K-means, mixtures, the likelihood of counts, coherence in space, the rank of a sample."""
