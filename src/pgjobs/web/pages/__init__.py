"""What each page reads. A page is a function from a visit to a template with its values."""
