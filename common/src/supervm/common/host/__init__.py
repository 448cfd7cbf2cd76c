"""What turns a configuration into a running node process: folder, keys, log, exit status."""
