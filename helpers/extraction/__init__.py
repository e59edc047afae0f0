"""From a sentence to ranked skills (papers 1 and 2)."""

METHODS = ("lexical", "literal", "zero-shot", "classifier", "bi-encoder")
PAIRS = ("descriptions", "altlabels", "sentences", "distant", "skillskape")  # what an encoder can be trained on
