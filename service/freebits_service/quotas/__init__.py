"""How much a namespace holds, and how much it may."""
