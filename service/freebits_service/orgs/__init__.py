"""Organizations: namespaces that several users share."""
