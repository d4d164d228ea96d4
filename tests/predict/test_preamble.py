"""What prompts have in common is left out, and nothing else is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing_core.predict.features import learn_features, text_shape
from routing_core.predict.labels import tabulate
from routing_core.predict.preamble import SHARED_BY, Preambles
from routing_core.predict.state import State

SHOTS = "Answer the question with a letter.\nIs water wet?\nA) yes\nB) no\nAnswer: A\n\n"
ASK = "\nPrint one letter alone, without explanation.\nAnswer:"


def prompts(n: int = 40) -> list[str]:
    return [f"{SHOTS}What is {i} and {i * i}?\nA) {i}\nB) {i + 1}{ASK}" for i in range(n)]


def test_shared_shots_and_closing_words_are_left_out_and_the_question_is_not():
    known = Preambles.learn(prompts())
    assert known.question(f"{SHOTS}Why?\nA) so\nB) not{ASK}") == "Why?\nA) so\nB) not\n"


def test_lines_escaped_in_the_log_are_lines_too():
    known = Preambles.learn([text.replace("\n", "\\n") for text in prompts()])
    assert known.question(prompts()[7].replace("\n", "\\n")).startswith("What is 7 and 49?")


def test_too_few_prompts_have_nothing_in_common():
    known = Preambles.learn(prompts(SHARED_BY - 1))
    assert known == Preambles()
    assert known.question(prompts()[0]) == prompts()[0]


def test_the_same_opening_words_on_one_line_are_not_a_preamble():
    """«Write a function to …» is part of what is asked."""
    texts = [f"Write a function to find the smallest of all numbers that {i} divides." for i in range(60)]
    assert Preambles.learn(texts) == Preambles()


def test_a_prompt_that_is_nothing_but_preamble_is_kept_whole():
    known = Preambles.learn(prompts())
    assert known.question(SHOTS) == SHOTS


def test_equal_prompts_are_one_prompt():
    """A prompt asked a thousand times over is no preamble of itself."""
    assert Preambles.learn(["one line\nand a much longer second line of it\n"] * 1000) == Preambles()


@given(st.lists(st.text(alphabet="ab\n", max_size=60), max_size=40))
def test_order_does_not_matter_and_a_question_is_part_of_its_prompt(texts: list[str]):
    shared = [SHOTS + text + ASK for text in texts]
    known = Preambles.learn(shared)
    assert known == Preambles.learn(shared[::-1])
    assert all(known.question(text) in text and known.question(text) for text in shared)


def test_the_state_is_all():
    known = Preambles.learn(prompts())
    state = known.state()
    assert Preambles.from_state(State(state.meta, state.arrays)) == known


def test_features_of_a_question_do_not_depend_on_whose_shots_it_came_with(outcomes):
    """Without the preamble in the embedding, the same question is at the same place as without any."""
    labels = tabulate(outcomes, ("small", "middle", "large"), half_life_days=28, max_importance=10)
    features, _ = learn_features(labels, "tfidf_svd", 16, 0)
    bare = features.transform(labels.prompt[:50], labels.task[:50], labels.input_tokens[:50])
    object.__setattr__(features, "preambles", Preambles((SHOTS,), ()))
    shot = features.transform([SHOTS + text for text in labels.prompt[:50]], labels.task[:50], labels.input_tokens[:50])
    assert (bare[:, features.embedded] == shot[:, features.embedded]).all()


def test_shape_counts_characters_of_the_question_by_hand():
    import numpy as np

    shape = text_shape(["x\nA 12, B?"], ["A 12, B?"], np.array([3.0]))
    counted = np.expm1(shape[0, 6:]).round()
    #                       digits names blanks clauses ? quotes code lines
    assert counted.tolist() == [2, 2, 2, 1, 1, 0, 0, 0]
