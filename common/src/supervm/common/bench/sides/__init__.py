"""Two processes that are connected and talk: our link through the whole driver, plain TCP, and py-libp2p's."""
