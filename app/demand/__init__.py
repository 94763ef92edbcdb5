"""What is wanted: requests, their alternatives and windows."""
