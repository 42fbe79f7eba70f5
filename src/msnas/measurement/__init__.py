"""From scores to a signal strength: expected yields, templates, the likelihood, its uncertainty."""
