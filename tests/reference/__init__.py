"""Plain implementations that the fast ones are compared with, and makers of their input."""
