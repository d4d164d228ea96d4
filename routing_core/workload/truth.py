"""What each model would answer to each synthetic query: the truth that predictors try to learn.

Accuracies lie between about 0.5 and 0.9 and costs between about 1e-5 and 1e-2 USD a query, where public
measurements of such models lie. Everything follows from the seed and names, so that a night can be settled later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import expit, softmax

from routing_core.records.catalog import Catalog, Model, Serving
from routing_core.workload.draws import choose_by, constant, normal, uniform
from routing_core.workload.families import FAMILIES
from routing_core.workload.prompts import Hidden, count_tokens, hidden_of_ids, prompts, tasks

_TASTE, _SKILL, _LUCK = 0.7, 0.7, 0.5
_FLOOR = 0.15
_GRADE_WIDTH = 0.2
_LENGTH_SPREAD = 0.45


@dataclass(frozen=True)
class World:
    """The truth for one seed and catalog.

    Parameters
    ----------
    seed : int
    catalog : Catalog
    """

    seed: int
    catalog: Catalog

    @cached_property
    def ability(self) -> NDArray[np.float64]:
        """Skill on the logit scale, shape (n_models, n_families); dearer and larger models are better, unevenly."""
        return np.array([[_strength(m) + self._trait(m, f.name, _SKILL) for f in FAMILIES] for m in self.catalog])

    @cached_property
    def policy(self) -> NDArray[np.float64]:
        """Probability that a model answers in daytime, shape (n_families, n_models), rows summing to 1."""
        taste = [[_TASTE * constant(self.seed, f"taste {m.name} {f.name}") for m in self.catalog] for f in FAMILIES]
        spread: NDArray[np.float64] = _FLOOR / len(self.catalog) + (1 - _FLOOR) * softmax(np.array(taste), axis=1)
        return spread

    def true_quality(self, query_ids: Sequence[str]) -> NDArray[np.float64]:
        """Expected quality of every model on backlog or daytime queries.

        Returns
        -------
        ndarray of float64, shape (n_queries, n_models), in [0, 1]
        """
        hidden = hidden_of_ids(self.seed, query_ids)
        return np.stack([self._expected(hidden, j) for j in range(len(self.catalog))], axis=1)

    def answer(self, hidden: Hidden, models: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Realised quality in [0, 1] and output tokens, shape (n_queries,), of one model for each query."""
        quality, length = np.empty(len(hidden)), np.empty(len(hidden), dtype=np.int64)
        for j in np.unique(models).tolist():
            rows = np.flatnonzero(models == j)
            asked = hidden.take(rows)
            quality[rows], length[rows] = self._graded(asked, j), self._length(asked, j)
        return quality, length

    def choose(self, hidden: Hidden) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The model that answers each daytime query, and the probability with which it was chosen."""
        cumulative = np.cumsum(self.policy, axis=1)[hidden.family]
        chosen = choose_by(hidden.keys, "policy", cumulative)
        return chosen, self.policy[hidden.family, chosen]

    def outcomes(
        self,
        ids: pa.Array,
        hidden: Hidden,
        models: NDArray[np.int64],
        propensity: NDArray[np.float64],
        logged_on: date,
    ) -> pa.Table:
        """Outcomes as the contract has them, logged on ``logged_on`` at that day's prices."""
        texts = prompts(hidden)
        input_tokens = count_tokens(texts)
        quality, output_tokens = self.answer(hidden, models)
        prices = self.catalog.prices_on(logged_on)[models]
        seconds = uniform(hidden.keys, "logged") * timedelta(days=1).total_seconds()
        return pa.table(
            {
                "query_id": ids,
                "task": tasks(hidden),
                "prompt": texts,
                "model": pa.array(self.catalog.names, pa.large_string()).take(pa.array(models)),
                "quality": quality,
                "input_tokens": input_tokens,
                "output_tokens": output_tokens,
                "cost_usd": input_tokens * prices[:, 0] + output_tokens * prices[:, 1],
                "propensity": pa.array(propensity, from_pandas=True),
                "logged_at": pa.array(np.datetime64(logged_on, "us") + (seconds * 1e6).astype("m8[us]")).cast(
                    pa.timestamp("us", "UTC")
                ),
            }
        )

    def _trait(self, model: Model, of: str, spread: float) -> float:
        return spread * constant(self.seed, f"trait {model.name} {of}")

    def _expected(self, hidden: Hidden, j: int) -> NDArray[np.float64]:
        """Expected quality of model ``j``, with the luck that this query and this model have with each other."""
        model = self.catalog.models[j]
        guess = np.array([f.guess for f in FAMILIES])[hidden.family]
        edge = self.ability[j, hidden.family] - hidden.difficulty + _LUCK * normal(hidden.keys, f"luck {model.name}")
        expected: NDArray[np.float64] = guess + (1 - guess) * expit(edge)
        return expected

    def _graded(self, hidden: Hidden, j: int) -> NDArray[np.float64]:
        """Right or wrong, or a grade around the expected quality; its mean is the expected quality in both cases."""
        expected = self._expected(hidden, j)
        drawn = uniform(hidden.keys, f"grade {self.catalog.models[j].name}")
        width = np.minimum(_GRADE_WIDTH, np.minimum(expected, 1 - expected))
        graded = np.array([f.graded for f in FAMILIES])[hidden.family]
        return np.where(graded, expected + width * (2 * drawn - 1), drawn < expected).clip(0, 1)

    def _length(self, hidden: Hidden, j: int) -> NDArray[np.int64]:
        """Tokens of the answer: log-normal, longer for hard queries and talkative models."""
        model = self.catalog.models[j]
        usual = np.log([f.answer_tokens for f in FAMILIES])[hidden.family]
        noise = _LENGTH_SPREAD * normal(hidden.keys, f"length {model.name}")
        tokens = np.exp(usual + 0.2 * hidden.difficulty + self._trait(model, "length", 0.2) + noise)
        return np.maximum(1, np.minimum(tokens, model.context_window // 2)).astype(np.int64)


def _strength(model: Model) -> float:
    """Skill that price and size suggest, logit scale; by the first price, so that a price change changes no skill."""
    dear = 0.9 * np.log10(max(model.prices[0].output_usd, 0.01))
    size = 0.2 + 0.2 * np.log2(model.gpus_per_instance) if model.serving is Serving.SELF_HOSTED else 0.0
    return float(0.7 + dear + size)
