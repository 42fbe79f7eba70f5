"""Delphes ROOT files to the HDF5 layout of ``htautau``: reading, truth, matching, images."""
