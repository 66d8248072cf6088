"""What the draft archive is measured against."""
