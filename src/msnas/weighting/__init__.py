"""Where task weights come from; one file each."""
