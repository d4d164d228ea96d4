"""The models: the catalog, and the settings that speak of it."""

from __future__ import annotations

from routing_core.errors import CatalogError
from routing_core.records.catalog import Model
from routing_core.settings import Settings, execution_date
from routing_core.steps.doctor.finding import Checks, ill, odd, well
from routing_core.steps.doctor.inputs import next_night
from routing_core.store.catalog import read_catalog


def catalog(settings: Settings) -> Checks:
    """The catalog reads, and has a price for tonight."""
    models = read_catalog(settings.catalog_file)
    try:
        models.prices_on(execution_date(next_night(settings)))
    except CatalogError as error:
        yield ill("prices", error.message, error.remedy or "add a price")
    yield well("catalog", f"{len(models)} models in {settings.catalog_file}")


def gpus(settings: Settings) -> Checks:
    """Self-hosted models that can never run: no GPU of their type, none in stock, or none large enough."""
    models = read_catalog(settings.catalog_file).self_hosted
    idle = [(model, why) for model in models if (why := _never_runs(model, settings))]
    for model, why in idle:
        yield odd(
            "stock",
            f"model {model.name!r} can never run: {why}",
            "raise gpu_budget or stock, or take it out of the catalog",
        )
    unused = sorted(set(settings.gpu_budget) - {model.gpu_type for model in models})
    if unused:
        yield odd(
            "gpus", f"gpu_budget has {', '.join(unused)}, which no model runs on", "correct its name, as in the catalog"
        )
    if not idle and not unused:
        yield well("gpus", "every self-hosted model has GPUs to run on")


def pins(settings: Settings) -> Checks:
    """``min_instances`` and ``max_instances`` that cannot be kept."""
    models = {model.name: model for model in read_catalog(settings.catalog_file).self_hosted}
    wrong = [name for name in {**settings.min_instances, **settings.max_instances} if name not in models]
    for name in wrong:
        yield ill("pins", f"instances are set for {name!r}, no self-hosted model of the catalog", "correct the name")
    for name, least in settings.min_instances.items():
        most = min(settings.max_instances.get(name, least), _stock(models.get(name), least))
        if least > most:
            wrong.append(name)
            yield ill("pins", f"min_instances of {name!r} is {least}, above the {most} there may be", "lower it")
    for gpu_type, have in settings.gpu_budget.items():
        needed = sum(
            settings.min_instances.get(name, 0) * model.gpus_per_instance
            for name, model in models.items()
            if model.gpu_type == gpu_type
        )
        if needed > have:
            wrong.append(gpu_type)
            yield ill("pins", f"min_instances take {needed} GPUs of {gpu_type}, gpu_budget has {have}", "lower them")
    if not wrong:
        yield well("pins", "can be kept")


def budgets(settings: Settings) -> Checks:
    """Budgets that buy nothing, or promise more than there is."""
    promised = sum(settings.team_budgets_usd.values())
    if settings.budget_usd == 0:
        yield odd("budgets", "budget_usd is 0: no query can go to a model that costs", "set NIGHTSHIFT_BUDGET_USD")
    elif promised > settings.budget_usd:
        yield odd(
            "budgets",
            f"team_budgets_usd add up to {promised:g} USD, budget_usd is {settings.budget_usd:g}",
            "raise budget_usd, or lower them: the night's budget holds for all together",
        )
    else:
        yield well("budgets", f"{settings.budget_usd:g} USD a night")


def _stock(model: Model | None, otherwise: int) -> int:
    return otherwise if model is None or model.stock is None else model.stock


def _never_runs(model: Model, settings: Settings) -> str | None:
    have = settings.gpu_budget.get(model.gpu_type, 0)
    if model.gpus_per_instance > have:
        return f"an instance takes {model.gpus_per_instance} GPUs of {model.gpu_type}, gpu_budget has {have}"
    if model.stock == 0 or settings.max_instances.get(model.name) == 0:
        return "its stock or max_instances is 0"
    return None
