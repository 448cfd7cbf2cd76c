"""What the simulator knows of networks that are no plain internet: NATs, sites, media, contacts, people who move."""
