"""From a skill to its competency groups (paper 3)."""
