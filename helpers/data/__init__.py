"""Data of the book: benchmarks, corpora, requisitions; the shipped sample lies in `sample/`."""
