"""The figures of the report; one file each, found by listing this folder."""
