"""The causal diagnosis of a training: symptoms, candidate causes, and the counterfactual runs that separate them."""
