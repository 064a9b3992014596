"""Fast forms of operators that networks share: plain torch, C++, Triton, and the choice between them."""
