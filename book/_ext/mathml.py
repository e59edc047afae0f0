"""Sphinx extension: formulas become MathML while the site is built, so that no page needs a script for them.

Browsers draw MathML themselves, and screen readers read it. Sphinx would load MathJax from another host instead.
"""

from __future__ import annotations

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

LOGGER = logging.getLogger(__name__)


def mathml(node: nodes.math | nodes.math_block, display: str) -> str:
    """The formula as MathML; one that cannot be converted is a warning, which fails the site."""
    try:
        formula = convert(node.astext(), display=display)
    except Exception as error:  # latex2mathml raises many kinds, IndexError among them
        LOGGER.warning("no MathML for the formula %r: %r", node.astext(), error, location=node)
        return ""
    if "\\" in formula:  # it passes on commands that it does not know
        LOGGER.warning("no MathML for a command of the formula %r", node.astext(), location=node)
    return formula


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    """A formula within a line."""
    translator.body.append(f'<span class="math notranslate nohighlight">{mathml(node, "inline")}</span>')
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """A formula on a line of its own; a narrow screen scrolls a wide one, by keyboard too."""
    attributes = 'class="math notranslate nohighlight" tabindex="0" role="group" aria-label="formula"'
    translator.body.append(f"<div {attributes}>{mathml(node, 'block')}</div>")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the renderer; `html_math_renderer: mathml` in _config.yml chooses it."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
