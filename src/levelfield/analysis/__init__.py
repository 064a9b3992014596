"""Why a network is better: the ranks of its features, and what remains of it when it is made smaller."""
