"""A night as one writes it by hand after the paper: pandas, scikit-learn, one MILP per batch of 100 at a gap of 1 %.

``python baseline_night.py HOME DT QUERIES LIMITS REFITS`` plans the first queries of the backlog of DT. LIMITS is JSON:
queries of the night, budget_usd and capacity (by model) of a batch. REFITS bootstrap refits of kNN-40 give the 10th
percentile planned with (arXiv 2603.26796 has 100); 0 plans on the mean. Imports and learning are not timed.
"""

import json
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import BaggingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline

BATCH, DEFERRAL, KNN = 100, 0.05, partial(KNeighborsRegressor, 40)
home, dt, limits = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[4])
queries, refits = int(sys.argv[3]), int(sys.argv[5])
catalog = yaml.safe_load((home / "config" / "catalog.yaml").read_text())["models"]
models, tags = np.array([model["name"] for model in catalog]), [set(model.get("tags") or ()) for model in catalog]
capacity = np.array([limits["capacity"].get(name, BATCH) for name in models])


def planned(both, bag, at):
    """Quality as planned with, and cost."""
    quality, cost = both.predict(at).T
    return np.quantile([one.predict(at) for one in bag], 0.1, axis=0) if refits else quality, cost


def eligible(batch, cost, quality):
    """Which models each query may go to."""
    most, least = (batch[name].fillna(fill).values for name, fill in (("max_cost_usd", np.inf), ("min_quality", 0)))
    may = (most[:, None] >= cost) & (quality >= least[:, None])
    for i, (only, wanted) in enumerate(zip(batch.allowed_models, batch.required_tags, strict=True)):
        may[i] &= True if only is None else np.isin(models, only)
        may[i] &= True if wanted is None else [set(wanted) <= own for own in tags]
    return may


def assign(quality, cost, may):
    """The model of each query of a batch, -1 for none: one each, capacities, the budget."""
    n, m = quality.shape
    one_each, room = sparse.kron(sparse.eye(n), np.ones((1, m))), sparse.kron(np.ones((1, n)), sparse.eye(m))
    rows = sparse.vstack([one_each, room, cost.reshape(1, -1)])
    within = LinearConstraint(rows, ub=np.concatenate([np.ones(n), capacity, [limits["budget_usd"] * n / BATCH]]))
    bounds, options = Bounds(0, may.ravel().astype(float)), {"mip_rel_gap": 0.01}
    found = milp(-(quality + DEFERRAL).ravel(), constraints=within, integrality=1, bounds=bounds, options=options)
    x = found.x.reshape(n, m)
    return np.where(x.max(axis=1) > 0.5, x.argmax(axis=1), -1)


log = pd.read_parquet(home / "outcomes")
log = log[log.dt.astype(str) < dt].dropna(subset=["prompt", "quality", "cost_usd"])
features = make_pipeline(TfidfVectorizer(max_features=20_000, sublinear_tf=True), TruncatedSVD(64, random_state=0))
log["at"] = list(features.fit_transform(log.prompt))
learnt = {}
for name, own in log.groupby("model"):
    seen, both = np.stack(own["at"]), KNN().fit(np.stack(own["at"]), own[["quality", "cost_usd"]])
    learnt[name] = both, BaggingRegressor(KNN(), max(refits, 1), random_state=0).fit(seen, own.quality).estimators_
started, cpu, chosen = time.perf_counter(), time.process_time(), []
files = sorted((home / "backlog" / f"dt={dt}").glob("*.parquet"))
backlog = pd.concat(pd.read_parquet(file) for file in files[: 1 + queries * len(files) // limits["queries"]])[:queries]
backlog = backlog.dropna(subset=["query_id", "prompt", "input_tokens"]).drop_duplicates("query_id")
at = features.transform(backlog.prompt)
quality, cost = np.stack([planned(*learnt[name], at) for name in models], axis=2)
for batch in (slice(start, start + BATCH) for start in range(0, len(backlog), BATCH)):
    chosen.append(assign(quality[batch], cost[batch], eligible(backlog[batch], cost[batch], quality[batch])))
backlog["model"] = np.append(models, None)[np.concatenate(chosen)]
backlog[["query_id", "model"]].to_sql("plan", f"sqlite:///{home}/baseline.db", if_exists="replace")
figures = {"queries": len(backlog), "seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu}
print(json.dumps(figures | {"assigned": int(backlog.model.count())}))
