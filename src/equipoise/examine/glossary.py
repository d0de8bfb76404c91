"""Words of the report, explained once at the foot of the page."""

GLOSSARY = {
    "interval": "The range in brackets. Were the measurement repeated on new samples from the same source, 95 % of "
    "such ranges would hold the true value.",
    "n": "The number of independent samples behind a number.",
    "pass": "The whole interval lies on the good side of the warning line.",
    "unsure": "The interval crosses a line: these samples cannot decide. The claim says how many could.",
    "warn": "The whole interval lies beyond the warning line.",
    "fail": "The whole interval lies beyond the failure line.",
    "train, validation, test": "The network learns from the first part, choices such as when to stop use the second, "
    "and the third is only read for this report.",
    "seed": "The number from which initialisation, order and division into parts are drawn; the same seed on the same "
    "machine gives the same network.",
    "calibration": "Whether a confidence of 80 % is right 80 % of the time.",
    "baseline": "A simple method trained on the same part: always the commonest class, a linear model, boosted trees.",
    "attribution": "A number for each input feature saying how much it contributed to one answer.",
    "churn": "The share of samples on which two networks that were trained alike but for the seed decide differently.",
    "bias and variance": "Two parts of an error: what the average of many networks gets wrong, and what a single one "
    "loses because its training samples and its seed happened to be these.",
    "learning curve": "The score against the number of training samples; a power law that falls to a floor is drawn "
    "through the errors.",
    "label noise": "Labels that are wrong. Networks that have not seen a sample during training can point at them.",
    "paired": "Compared seed by seed (or sample by sample), so that what both have in common drops out.",
    "single precision, bfloat16": "Numbers with about seven and about three digits, as networks compute with.",
    "logits": "A network's raw class scores, before they are turned into probabilities.",
}
