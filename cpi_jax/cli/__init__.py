"""What the programs under launch/ share: configurations, flags, dry runs and previews."""
