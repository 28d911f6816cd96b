"""What the weights of a trained model say about how far it carries, beside what was measured."""

import pandas as pd
from torch import nn

from automata.errors import InputError
from automata.tasks import Task
from statetrack.analysis.adversary import adversarial_word
from statetrack.analysis.affine import read_affine, require_plain
from statetrack.analysis.certificates import certify
from statetrack.analysis.error_ratio import ratio_crossing
from statetrack.analysis.horizon_prediction import predict_horizon

THRESHOLD = 0.9
SEARCH_STEPS = 1000
MOST_MOMENTS = 2**16


def horizon_tables(
    model: nn.Module, task: Task, thresholds: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Predict the horizon of a model on the CPU, look for the word that breaks it, certify it.

    Parameters
    ----------
    model : torch.nn.Module
        In float32 on the CPU.
    task : Task
    thresholds : DataFrame
        What was measured on uniform words, of `ReportCurve.thresholds`.

    Returns
    -------
    dict of str to DataFrame
        ``horizon``, one row: group (or the task, where there is none); threshold; measured
        (longest length with token accuracy of at least the threshold at every length up to it) and
        measured_censored (it never fell below); predicted and predicted_censored; moments and
        moments_censored (missing where the state is large); ratio_crossing (missing where there is
        none); first_random_failure (shortest wrong prefix among the report words, of which there
        are random_words; missing where all are right); adversarial_length, adversarial_found_by,
        adversarial_word, adversarial_float64, cycle_predicted, cycle_length, period_predicted,
        period_length; longest (length measured or looked at); certified,
        certified_all_lengths, certified_by. ``predicted_curve``: length, token_accuracy. No table
        at all for a model or task to which this does not apply.
    """
    try:
        recurrence = read_affine(model, task.num_tokens)
        plain = require_plain(task, "horizon_tables")
    except InputError:
        return {}
    cap = int(thresholds.longest.iloc[0])
    reached = thresholds.set_index(["metric", "threshold"]).length
    measured = int(reached["token_accuracy", THRESHOLD])
    predicted = predict_horizon(model, task, threshold=THRESHOLD, cap=4 * cap)
    row: dict[str, object] = {
        "group": plain.name if plain.group is None else plain.group.name,
        "threshold": THRESHOLD,
        "measured": measured,
        "measured_censored": measured == cap,
        "predicted": predicted.length,
        "predicted_censored": predicted.censored,
        "moments": None,
        "moments_censored": None,
        "ratio_crossing": ratio_crossing(recurrence, plain, cap=4 * cap),
    }
    if plain.dfa.num_states * recurrence.initial.size**2 <= MOST_MOMENTS:
        exact = predict_horizon(model, task, threshold=THRESHOLD, cap=cap, method="moments")
        row |= {"moments": exact.length, "moments_censored": exact.censored}
    first = int(reached["whole_prefix_accuracy", 1.0]) + 1
    row |= {
        "first_random_failure": first if first <= cap else None,
        "random_words": int(thresholds.num_words.iloc[0]),
    }
    word = adversarial_word(model, task, cap=cap)
    row |= {
        "adversarial_length": None if word is None else word.length,
        "adversarial_found_by": None if word is None else word.found_by,
        "adversarial_word": None if word is None else " ".join(map(str, word.word)),
        "adversarial_float64": None if word is None else word.float64_length,
        "cycle_predicted": None if word is None else word.predicted_length,
        "cycle_length": None if word is None else word.cycle_length,
        "period_predicted": None if word is None else word.period_predicted,
        "period_length": None if word is None else word.period_length,
        "longest": cap,
    }
    proof = certify(model, task, max_steps=SEARCH_STEPS, cap=cap)
    row |= {
        "certified": proof.length,
        "certified_all_lengths": proof.all_lengths,
        "certified_by": proof.method,
    }
    return {"horizon": pd.DataFrame([row]), "predicted_curve": predicted.to_frame()}
