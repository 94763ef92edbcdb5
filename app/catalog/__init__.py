"""What is for sale: chip models, offers, capacity."""
