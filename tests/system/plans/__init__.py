"""What the statements cost that a running worker repeats: their plans, and the pages that they touch."""
