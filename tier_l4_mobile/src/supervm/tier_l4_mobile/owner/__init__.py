"""What the owner keeps on a phone and looks up there: contacts, watched addresses, history."""
