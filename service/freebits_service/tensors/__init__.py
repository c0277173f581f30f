"""What tensors files hold, and which files share them."""
