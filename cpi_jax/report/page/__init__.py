"""report.html: what a study found, on one page that needs nothing but itself; `write_page` makes it of files alone."""
