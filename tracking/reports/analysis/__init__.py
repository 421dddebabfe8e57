"""Analysis of a study for its report: importances, best regions, failures, cost, and what to try next."""
