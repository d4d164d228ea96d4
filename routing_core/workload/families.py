"""Task families: what their prompts say, how hard they are, and when they come."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of task.

    Attributes
    ----------
    name : str
    share : float
        Weight in the mix outside office hours.
    office : float
        Logarithm of what its weight is multiplied by in office hours.
    hardness : float
        Mean difficulty, on the logit scale.
    guess : float
        Quality of an answer without skill, in [0, 1).
    graded : bool
        Whether quality is a grade; otherwise an answer is right or wrong.
    answer_tokens : float
        Median length of an answer of middling difficulty, tokens.
    openings, subjects, closings : tuple of str
        Frame of the prompt, one of each.
    plain, hard : tuple of str
        Clauses between; a prompt that looks harder has more of them, and more of the hard ones.
    values : tuple of str
        What a clause ends with; numbers if empty, longer ones in a prompt that looks harder.
    """

    name: str
    share: float
    office: float
    hardness: float
    guess: float
    graded: bool
    answer_tokens: float
    openings: tuple[str, ...]
    subjects: tuple[str, ...]
    plain: tuple[str, ...]
    hard: tuple[str, ...]
    closings: tuple[str, ...]
    values: tuple[str, ...] = ()


_PEOPLE = ("Amara Okafor", "Jonas Lind", "Mei Tanaka", "Rosa Delgado", "Ivo Petrov", "Nadia Haddad", "Tom Becker")
_PLACES = ("Lisbon", "Tromsø", "Nairobi", "Osaka", "Valparaíso", "Leeds", "Hanoi", "Graz", "Winnipeg")
_TYPES = ("integers", "strings", "dates", "edges of a graph", "log lines", "intervals", "matrices")

ARITHMETIC = Family(
    name="arithmetic",
    share=1.0,
    office=-0.2,
    hardness=0.0,
    guess=0.02,
    graded=False,
    answer_tokens=260,
    openings=("Solve this word problem.", "Work this out step by step.", "How many are there in the end?", "Compute:"),
    subjects=(
        "A baker starts the day with loaves:",
        "A bus sets out with passengers:",
        "A shop counts its stock of lamps:",
        "A farm collects eggs in crates:",
        "A library lends its books:",
        "A tank is filled with litres of water:",
    ),
    plain=("then it gains", "then it loses", "after lunch it adds", "a customer takes away", "a delivery brings"),
    hard=(
        "the rest is split evenly, leaving a remainder, among",
        "it then grows by a compound percentage of",
        "the ratio of broken to whole ones becomes one to",
        "every third of them is replaced by",
        "working backwards, an hour earlier there had been fewer by",
    ),
    closings=("Give the final number only.", "Show the steps, then the number.", "What is the result?"),
)
CODE = Family(
    name="code",
    share=1.2,
    office=0.7,
    hardness=0.3,
    guess=0.0,
    graded=False,
    answer_tokens=420,
    openings=("Write a Python function", "Implement in TypeScript a function", "Write a SQL query", "Fix the function"),
    subjects=(
        "that sorts its input",
        "that removes duplicates",
        "that parses a configuration",
        "that merges two sources",
        "that counts occurrences",
        "that validates its arguments",
    ),
    plain=("and returns a list of", "and accepts", "with a docstring about", "and a unit test over"),
    hard=(
        "in amortised constant time over a stream of",
        "safely under concurrent access to shared",
        "without recursion, on deeply nested",
        "with exact handling of overflow in",
        "using dynamic programming over",
    ),
    closings=("Return code only.", "Explain the complexity in one line.", "Do not use external libraries."),
    values=_TYPES,
)
EXTRACTION = Family(
    name="extraction",
    share=1.1,
    office=0.4,
    hardness=-0.7,
    guess=0.05,
    graded=True,
    answer_tokens=110,
    openings=("Extract the fields as JSON.", "List every person and place named.", "Fill the form from this text."),
    subjects=("From the delivery note:", "From the minutes of the meeting:", "From the e-mail:", "From the contract:"),
    plain=("The parcel was signed for by", "The meeting was chaired by", "A copy goes to", "The invoice was sent by"),
    hard=(
        "unless otherwise agreed under clause nine, liability passes to",
        "the former tenant, not to be confused with",
        "acting on behalf of a party whose name is struck out, namely",
        "in a later correction the name was changed to",
    ),
    closings=("Use null where nothing is said.", "Keep the original spelling.", "Answer with JSON only."),
    values=_PEOPLE,
)
SUMMARISATION = Family(
    name="summarisation",
    share=1.0,
    office=0.5,
    hardness=-0.4,
    guess=0.2,
    graded=True,
    answer_tokens=230,
    openings=("Summarise the text.", "Write an abstract.", "Condense this report for a busy reader."),
    subjects=(
        "Report on the harvest:",
        "Notes on a power cut:",
        "Account of a council session:",
        "Log of an expedition:",
    ),
    plain=(
        "The work went on as planned in",
        "Everyone was satisfied with the visit to",
        "The weather was mild around",
        "New roads were opened towards",
    ),
    hard=(
        "Contrary to the earlier figures, which the auditors disputed, losses were concentrated in",
        "The committee neither confirmed nor withdrew its reservations, conditional on a second inquiry into",
        "Sources disagree whether the failure began before or after the inspection at",
    ),
    closings=("At most three sentences.", "Name the main risk.", "Write for a general reader."),
    values=_PLACES,
)
CLASSIFICATION = Family(
    name="classification",
    share=1.5,
    office=0.1,
    hardness=-0.9,
    guess=0.3,
    graded=False,
    answer_tokens=32,
    openings=(
        "Classify the sentiment.",
        "Which department should get this ticket?",
        "Label the topic.",
        "Is this urgent?",
    ),
    subjects=("A customer writes:", "A ticket says:", "A review reads:", "A caller reports:"),
    plain=(
        "I like the new lamp and would order it again in",
        "The parcel arrived on time in",
        "My password does not work since I moved to",
        "The screen stays dark at our office in",
    ),
    hard=(
        "Oh, wonderful, a third replacement, just what I was hoping for in",
        "I would not say I was unhappy with the staff in",
        "If it is as good as last time, I shall certainly tell everyone in",
    ),
    closings=("Answer with one word.", "Choose one label.", "Give the label and a confidence."),
    values=_PLACES,
)
REASONING = Family(
    name="reasoning",
    share=0.9,
    office=-0.1,
    hardness=0.6,
    guess=0.2,
    graded=False,
    answer_tokens=380,
    openings=("Decide whether the conclusion follows.", "Who is telling the truth?", "Find the only possible order."),
    subjects=("Several friends stand in a queue:", "Houses stand along a street:", "Runners finish a race:"),
    plain=("next to the first stands", "the red one belongs to", "right after the start comes"),
    hard=(
        "exactly one of the previous statements is false if and only if it concerns",
        "no one who would deny it is standing between two liars except",
        "if the third claim were true, it would contradict",
        "unless both neighbours lie, the one before is",
    ),
    closings=("Explain briefly.", "Answer yes, no or unknown.", "Give the whole order."),
    values=_PEOPLE,
)
TRANSLATION = Family(
    name="translation",
    share=0.8,
    office=0.2,
    hardness=-0.5,
    guess=0.15,
    graded=True,
    answer_tokens=190,
    openings=(
        "Translate into German.",
        "Translate into Japanese.",
        "Translate into Portuguese.",
        "Translate into Finnish.",
    ),
    subjects=("A postcard:", "A notice on a door:", "A manual says:", "A letter begins:"),
    plain=(
        "We arrived yesterday and walked through",
        "The shop is closed until further notice in",
        "Please switch the device off before leaving for",
        "Many greetings from",
    ),
    hard=(
        "He was, as they used to say with a wink, a few sandwiches short of a picnic ever since",
        "The said lessee shall hold harmless the lessor notwithstanding any easement at",
        "It rains, it reigns, it reins us in: so runs the pun over the inn at",
    ),
    closings=("Keep the tone.", "Formal register.", "Keep names as they are."),
    values=_PLACES,
)
KNOWLEDGE = Family(
    name="knowledge",
    share=1.2,
    office=-0.3,
    hardness=-0.1,
    guess=0.25,
    graded=False,
    answer_tokens=170,
    openings=("Answer the question.", "Choose the right option.", "Explain to a student:"),
    subjects=("In geography,", "In chemistry,", "In the history of trade,", "In biology,", "In law,"),
    plain=("what is well known about", "name one common feature of", "which season is best for"),
    hard=(
        "which lesser-known exception to the general rule was first described in",
        "by which mechanism, still disputed, does one explain the anomaly of",
        "what did later revisions change about",
    ),
    closings=("One sentence.", "Name your source of certainty.", "If unsure, say so."),
    values=_PLACES,
)

FAMILIES = (ARITHMETIC, CODE, EXTRACTION, SUMMARISATION, CLASSIFICATION, REASONING, TRANSLATION, KNOWLEDGE)
