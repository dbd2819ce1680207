"""The command line: flags, commands and what `check` prints."""
