"""What the programs under launch/ share.

command_line runs a program; flags, config_file and validate_fields read what it is told; config has the fields of a
configuration, from_config makes a study of them; renamed and saved_config read folders of earlier versions; log_lines and
cpu_devices set up the process; dry_run, preview and planted are what a study shows besides its results.
"""
