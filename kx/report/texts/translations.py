"""Report on translations: BLEU, chrF, the worst answers, attention maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kx.contracts.answers import Answers
from kx.contracts.findings import Findings, ReportOptions, bootstrap
from kx.report import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BATCH_SIZE = 64
_SHOWN = 4  # attention maps
_LONGEST = 40  # tokens of a text whose attention is drawn
_FIRST_CHINESE = "\u2e80"


@dataclass(frozen=True)
class Translated:
    """Holds the answers to the distinct sources of a split.

    Args:
        positions: Position of the first example of each source.
        sources: Sources.
        references: All targets of each source.
        hypotheses: What the model wrote.
        confidences: Its confidence.
    """

    positions: np.ndarray
    sources: list[str]
    references: list[list[str]]
    hypotheses: list[str]
    confidences: np.ndarray


def translation_findings(
    answers: Answers,
    answer: Callable[[keras.Model, Any], Mapping[str, Any]],
    texts: Any,
    source_texts: Any,
    options: ReportOptions,
) -> Findings:
    """Returns the findings on texts that were written for texts.

    A source that several examples have is translated once, and all their targets are references.

    Args:
        answers: Answers of a model, which has no scores but is asked.
        answer: Function from the model and a batch of prepared sources to `translation` and
            `confidence`.
        texts: Detokenizer of the targets.
        source_texts: Detokenizer of the sources, or None: no attention is drawn.
        options: Options of the report.
    """
    found = _translated(answers, answer)
    measures = _measures(found.references)
    columns = _columns(found.references)
    each = {
        name: measure._extract_corpus_statistics(found.hypotheses, columns)
        for name, measure in measures.items()
    }
    exact = np.array(
        [one in many for one, many in zip(found.hypotheses, found.references, strict=True)]
    )

    def statistics(indices: np.ndarray) -> dict[str, float]:
        scores = {
            name: float(measure._aggregate_and_compute([each[name][i] for i in indices]).score)
            for name, measure in measures.items()
        }
        return {**scores, "exact_match": float(exact[indices].mean())}

    of_text = np.array(
        [measures["chrf"]._aggregate_and_compute([one]).score for one in each["chrf"]]
    )
    order = np.argsort(of_text, kind="stable")
    worst = order[: options.num_mistakes]
    everything = np.arange(len(found.sources))
    findings = Findings(
        statistics(everything),
        intervals=bootstrap(statistics, len(everything), options),
        tables={
            "Translations": _rows(found, of_text, order[:: max(1, len(order) // 12)][::-1]),
            "How it is measured": [
                {"metric": name, "sacreBLEU's signature": str(measure.get_signature())}
                for name, measure in measures.items()
            ],
        },
        worst=found.positions[worst],
        captions=[
            f"chrF {of_text[i]:.0f}: {found.hypotheses[i]} (expected: {found.references[i][0]})"
            for i in worst
        ],
        statistics=statistics,
        predictions={
            "position": found.positions,
            "translation": np.array(found.hypotheses),
            "confidence": found.confidences,
        },
    )
    findings.figures |= _attention_figures(answers, found, (source_texts, texts), order)
    return findings


def _translated(
    answers: Answers, answer: Callable[[keras.Model, Any], Mapping[str, Any]]
) -> Translated:
    pairs = [(_text(raw), _text(target)) for raw, target in answers.raw]
    places: dict[str, list[int]] = {}
    for place, (source, _) in enumerate(pairs):
        places.setdefault(source, []).append(place)
    positions = np.array([own[0] for own in places.values()])
    inputs = np.asarray(answers.inputs)[positions]
    starts = range(0, len(inputs), _BATCH_SIZE)
    parts = [answer(answers.model, inputs[start : start + _BATCH_SIZE]) for start in starts]
    written = np.concatenate([np.asarray(part["translation"]) for part in parts])
    return Translated(
        positions,
        list(places),
        [[pairs[place][1] for place in own] for own in places.values()],
        [_text(one) for one in written],
        np.concatenate([np.asarray(part["confidence"]) for part in parts]),
    )


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _columns(references: Sequence[Sequence[str]]) -> list[list[str | None]]:
    """Returns references as sacreBLEU takes them: a list for each place, with None for none."""
    most = max(map(len, references))
    return [[own[n] if n < len(own) else None for own in references] for n in range(most)]


def _measures(references: Sequence[Sequence[str]]) -> dict[str, Any]:
    from sacrebleu.metrics import BLEU, CHRF

    letters = "".join("".join(own) for own in references)
    tokenize = "13a"
    if any("\u3040" <= one <= "\u30ff" for one in letters):  # Japanese: by its characters
        tokenize = "char"
    elif sum(one >= _FIRST_CHINESE for one in letters) > len(letters) / 2:
        tokenize = "zh"
    return {"bleu": BLEU(tokenize=tokenize), "chrf": CHRF()}


def _rows(found: Translated, of_text: np.ndarray, chosen: np.ndarray) -> list[dict[str, Any]]:
    return [
        {
            "source": found.sources[i][:200],
            "translation": found.hypotheses[i][:200],
            "expected": " / ".join(found.references[i])[:200],
            "chrF": round(float(of_text[i]), 1),
            "confidence": round(float(found.confidences[i]), 3),
        }
        for i in chosen
    ]


def _attention_figures(
    answers: Answers, found: Translated, both: tuple[Any, Any], order: np.ndarray
) -> dict[str, Figure]:
    """Returns a map of the attention of some translations: the best, the worst, between them."""
    names = {layer.name for layer in getattr(answers.model, "layers", ())}
    source_texts, texts = both
    if source_texts is None or not {"encoder", "decoder"} <= names or not len(order):
        return {}
    decoder, encoder = answers.model.get_layer("decoder"), answers.model.get_layer("encoder")
    attending = [one for one in decoder.layers if one.name.startswith("cross_attention")]
    if not attending:
        return {}
    watching = keras.Model(decoder.input, attending[-1].output[1])
    shown = {}
    for number, place in enumerate(order[np.linspace(0, len(order) - 1, _SHOWN).astype(int)]):
        ids = np.asarray(answers.inputs)[found.positions[place]][None]
        tokens = _tokens(answers.targets, found.positions[place], texts)
        length = int((ids[0] != 0).sum())
        if not 0 < length <= _LONGEST or not 0 < len(tokens) <= _LONGEST:
            continue
        source, target = (keras.ops.convert_to_tensor(x) for x in (ids, [[texts.start, *tokens]]))
        given = {"source": source, "target": target, **encoder(source)}
        weights = np.asarray(watching(given))[0]
        weights = weights.mean(axis=0) if weights.ndim == 3 else weights
        shown[f"attention_{number}"] = figures.heat_map(
            weights[: len(tokens), :length],
            [texts.tokens[one] for one in tokens],
            [source_texts.tokens[one] for one in ids[0, :length]],
            "Attention from the true translation (rows) to the source",
        )
    return shown


def _tokens(targets: Any, place: int, texts: Any) -> list[int]:
    return [
        int(one) for one in np.asarray(targets)[place] if one not in (0, texts.start, texts.end)
    ]
