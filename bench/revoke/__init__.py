"""How long it takes from a revocation's acceptance to every worker's saying so, of one and of millions."""
