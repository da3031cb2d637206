"""What our own images are made of: rules for what is left out, locks, and the program that starts them."""
