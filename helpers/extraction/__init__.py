"""From a sentence to ranked skills (papers 1 and 2)."""
