"""Methods that select and train a chain: searches, and chains that are given or drawn."""
