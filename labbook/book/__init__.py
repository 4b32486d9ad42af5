"""The book: states, sealing, Parquet, catalogue and reading. Readers never write into a run."""
