"""Methods' runs compared with those of a reference, above all with grid search's."""
