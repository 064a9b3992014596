"""The commands: parse, call, print; a file each, and the work is done elsewhere."""
