"""What everything else rests on: errors, records, and the seams between the parts."""
