"""Where things lie and how small files are written: paths, CSV, JSON."""
