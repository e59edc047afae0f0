"""The rankers by name, as the command line asks for them."""

from helpers.data.benchmarks import BENCHMARKS, load_benchmark, without_leaked
from helpers.data.corpora import load_asking, load_corpus
from helpers.encoders import load_encoder
from helpers.extraction import METHODS
from helpers.extraction.classifiers import train_from_corpus
from helpers.extraction.contrastive import BiEncoder
from helpers.extraction.decision import Decision, fit_decision, train_detector
from helpers.extraction.lexical import LexicalRanker
from helpers.extraction.matching import LiteralMatcher, LiteralRanker, reliable_names
from helpers.extraction.negatives import STRATEGIES
from helpers.extraction.ranking import Ranker
from helpers.files import InputError
from helpers.profiles import Profile
from helpers.taxonomy import Taxonomy

OPTIONS = {  # what goes with which method
    "encoder": ("zero-shot", "classifier"),
    "model": ("bi-encoder",),
    "names": ("zero-shot", "bi-encoder"),
    "negatives": ("classifier",),
    "hard_fraction": ("classifier",),
    "c": ("classifier",),
}


def make_ranker(method: str, profile: Profile, taxonomy: Taxonomy, **options: str | float | None) -> Ranker:
    """The ranker of that name (one of METHODS); an option that is None was not given.

    Raises InputError for an unknown method, and for an option that does not go with the method.
    """
    if method not in METHODS:
        raise InputError(f"no method {method!r}; choose one of: {', '.join(METHODS)}")
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if method not in OPTIONS[name]:
            option = "--C" if name == "c" else "--" + name.replace("_", "-")
            raise InputError(f"{option} does not go with method {method}; it goes with {' and '.join(OPTIONS[name])}")
    if method == "lexical":
        return LexicalRanker(taxonomy)
    if method == "literal":
        return LiteralRanker(LiteralMatcher(reliable_names(taxonomy)), taxonomy)
    if method == "classifier":  # trained on the profile's corpus, or read if an equal call has trained it
        choices = {"uniform": (), **{name: (name,) for name in STRATEGIES}, "all": STRATEGIES}
        negatives = given.pop("negatives", "all")
        if negatives not in choices:
            raise InputError(f"no negatives {negatives!r}; choose one of: {', '.join(choices)}")
        if negatives == "uniform" and given.get("hard_fraction"):
            raise InputError("--negatives uniform has no hard ones; leave --hard-fraction out")
        sentences = load_corpus(profile.corpus).sentences
        encoder = load_encoder(given.pop("encoder", profile.encoder))
        return train_from_corpus(taxonomy, sentences, encoder, choices[negatives], seed=profile.seed, **given)
    if method == "bi-encoder" and "model" not in given:
        raise InputError("method bi-encoder needs --model FOLDER: the folder that `python -m helpers train` wrote")
    encoder = load_encoder(str(given.get("model") or given.get("encoder") or profile.encoder))
    return BiEncoder(encoder, taxonomy, str(given.get("names", "label")))


def make_decision(ranker: Ranker, profile: Profile, taxonomy: Taxonomy, loss: float = 0.05) -> Decision:
    """What turns this ranker's rankings into answers: a detector trained on the profile's corpus, and thresholds.

    They are chosen on the profile's validation splits; `loss` is the share of recall@5 that each may cost there.
    """
    detector = train_detector(*load_asking(profile.corpus), load_encoder(profile.encoder))
    validation = [
        without_leaked(load_benchmark(name, "validation", taxonomy))
        for name in profile.benchmarks
        if "validation" in BENCHMARKS[name]
    ]
    return fit_decision(detector, ranker, validation, loss)
