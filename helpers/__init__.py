"""Skill extraction, step by step: the package behind the book's notebooks.

Its distribution is named `skillbook`; another package called `helpers` exists on PyPI, which
`python -m helpers doctor` and every chapter's setup cell tell apart from this one by `IS_SKILLBOOK`.
"""

IS_SKILLBOOK = True
