"""Reading files back."""
