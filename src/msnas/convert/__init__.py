"""Delphes ROOT files to the HDF5 layouts of htautau and htautau_fakes."""
