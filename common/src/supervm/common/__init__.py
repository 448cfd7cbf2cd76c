"""What every SuperVM node is built from: the driver, links, storage, configuration and the command line."""
