"""What runs beside a core in a node: the control socket and housekeeping."""
