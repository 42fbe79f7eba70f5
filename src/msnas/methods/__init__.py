"""Pre-training, search methods and post-training, one LightningModule each."""
