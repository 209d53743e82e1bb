"""Concordance and other measures; evaluations, ensembles, predictions, submissions."""
