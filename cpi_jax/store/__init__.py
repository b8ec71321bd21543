"""What a study keeps on disk: score tables, what the study is, and who works on it."""
