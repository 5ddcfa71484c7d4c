"""What differs between systems. The only place that asks which system this is."""
