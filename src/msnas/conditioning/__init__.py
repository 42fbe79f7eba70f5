"""Networks conditioned on parameters of the loss: one training, any value afterwards."""
