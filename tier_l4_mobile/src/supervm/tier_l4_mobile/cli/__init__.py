"""The commands of the L4 profile; each module is imported only when its command is run (`commands.COMMANDS`)."""
